"""Parameters of MANO hands in JSON, in the form of InterHand2.6M's `MANO_NeuralAnnot` files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.joints import SIDES

MANO_PARAMETERS = {"pose": 48, "shape": 10, "trans": 3}
"""Numbers of a hand by key: axis-angle of the root and of 15 joints, radians; shape; translation, metres."""

LARGEST = {"pose": 100.0, "shape": 100.0, "trans": 1000.0}
"""No number of a hand is larger."""


def mano_parameters(
    path: Path,
    entries: Iterable[tuple[Any, Mapping[str, Any] | None]],
    rows: Mapping[int, int],
    *,
    keys: Sequence[str] = tuple(MANO_PARAMETERS),
    sides: Sequence[str] = SIDES,
    remedy: str,
) -> dict[str, Float[np.ndarray, "F S N"]]:
    """Tables of the hands of frames; NaN where a hand is null or absent, and where a number is null.

    Args:
        path: The file, for messages.
        entries: Number of each frame of the file and its hands by side, each null or its numbers by key.
        rows: Row of each frame that is wanted.
        keys: What is read of a hand, of `MANO_PARAMETERS`.
        sides: Sides in the order of the columns.
        remedy: What to do about a broken file.

    Raises:
        HandsError: A hand has not these numbers.
    """
    tables = {key: np.full((len(rows), len(sides), MANO_PARAMETERS[key]), np.nan, dtype=np.float32) for key in keys}
    for frame, hands in entries:
        row = rows.get(int(frame))
        if row is None:
            continue
        for column, side in enumerate(sides):
            entry = (hands or {}).get(side)
            if entry is not None:
                for key, table in tables.items():
                    table[row, column] = _numbers(
                        path, f"'{key}' of the {side} hand in frame {frame}", entry, key, remedy
                    )
    return tables


def _numbers(path: Path, place: str, entry: Mapping[str, Any], key: str, remedy: str) -> Float[np.ndarray, " N"]:
    try:
        found = np.array(entry[key], dtype=np.float64).reshape(MANO_PARAMETERS[key])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found = "no such key" if isinstance(error, KeyError) else f"'{error}'"
        raise HandsError(
            f"{path}: expected {MANO_PARAMETERS[key]} finite numbers as {place}, found {found}: {remedy}"
        ) from error
    largest = np.abs(found[np.isfinite(found)]).max(initial=0)
    if largest > LARGEST[key]:
        raise HandsError(
            f"{path}: expected numbers up to {LARGEST[key]:g} (radians, metres) as {place}, found {largest:.3g}: "
            f"{remedy}"
        )
    return found
