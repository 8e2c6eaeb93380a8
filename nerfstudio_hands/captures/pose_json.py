"""Landmarks as capture rooms keep them, `pose/NN.json`: 63 numbers a hand, normalised by the size of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.captures.joint_checks import check_landmarks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json

DETECTION_KEYS = ("Left", "Right")
"""Anatomical sides as the files name them, in the order of our sides."""

MAX_NORMALIZED = 4.0
"""Landmarks are in [-1, 1] and may lie somewhat outside of the picture; a median beyond this means pixels."""

MIN_FILES_IN_QUARTER = 3
"""Of so many pictures with hands, all hands lie in the lower right quarter by no chance: they are in [0, 1]."""

MOST_FILES = 0.9
"""Share of the files that tell how all of them are normalised: one that is spoilt must not change how others are
read."""

OUTSIDE = 0.05
"""Share of a picture by which a hand at its border may lie outside."""

REMEDY = "write the landmarks as the detector gave them, or [] where it saw no hand."


def read_poses(
    paths: Sequence[Path], sizes: Sequence[tuple[int, int]]
) -> tuple[Float[np.ndarray, "N 2 21 2"], list[str]]:
    """Landmarks of the pictures of one capture.

    Args:
        paths: `{"Left": 63 numbers or [], "Right": ...}` of each picture: (x, y, z) of 21 landmarks; z has no use.
        sizes: Width and height of each picture, pixels.

    Returns:
        Pixels, sides in the order left, right, NaN where absent (a side as [], a landmark as null); and a sentence
        where they are not in [-1, 1] across the picture.

    Raises:
        HandsError: A file is no such JSON, its numbers are normalised in another way than those of the others, or are
            of no hand in the picture.
    """
    pixels, problems = pose_pixels(paths, np.array([_read(path) for path in paths]).reshape(-1, 2, 21, 2), sizes)
    for path, hands, size in zip(paths, pixels, sizes, strict=True):
        check_landmarks(path, hands, size)
    return pixels, problems


def pose_pixels(
    paths: Sequence[Path], values: Float[np.ndarray, "N 2 21 2"], sizes: Sequence[tuple[int, int]]
) -> tuple[Float[np.ndarray, "N 2 21 2"], list[str]]:
    """Pixels of what files hold (`pose_values`), and a sentence where it is not in [-1, 1]; see `read_poses`."""
    sides = np.array(sizes, dtype=np.float64).reshape(-1, 1, 1, 2)
    extents = np.array([np.nanmedian(np.abs(v)) for v in values if np.isfinite(v).any()])
    if len(extents) and (extents > MAX_NORMALIZED).mean() >= MOST_FILES:
        return values, [f"{paths[0]}: the landmarks are in pixels, not in [-1, 1], as in the other files; read so."]
    for path, hands in zip(paths, values, strict=True):
        _check_normalized(path, hands)
    if _in_quarter(values):
        return values * sides, [
            f"{paths[0]}: the landmarks are in [0, 1] across the picture, not in [-1, 1], as in the other files; read "
            "so."
        ]
    return (values + 1) / 2 * sides, []


def pose_values(path: Path, content: Any) -> Float[np.ndarray, "2 21 2"]:
    """x and y as they stand in the JSON of one picture; NaN where absent.

    Raises:
        HandsError: The content has another form.
    """
    if not isinstance(content, dict) or not set(content) & set(DETECTION_KEYS):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise HandsError(
            f"{path}: expected an object with the keys Left and Right, found {found or 'no keys'}: {REMEDY}"
        )
    values = np.full((2, 21, 2), np.nan)
    for side, key in enumerate(DETECTION_KEYS):
        numbers = _numbers(path, key, content.get(key) or [])
        if len(numbers):
            values[side] = numbers.reshape(21, 3)[:, :2]
    return values


def _read(path: Path) -> Float[np.ndarray, "2 21 2"]:
    try:
        content = read_json(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected JSON with Left and Right, found '{error}': {REMEDY}") from error
    return pose_values(path, content)


def _numbers(path: Path, key: str, values: Any) -> Float[np.ndarray, " N"]:
    if not isinstance(values, list) or len(values) not in (0, 63):
        found = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
        raise HandsError(
            f"{path}: expected 63 numbers (21 landmarks of x, y, z) or [] under {key}, found {found}: {REMEDY}"
        )
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise HandsError(f"{path}: expected 63 numbers under {key}, found '{error}': {REMEDY}") from error
    if numbers.ndim != 1:
        raise HandsError(f"{path}: expected 63 numbers in a flat list under {key}, found nested lists: {REMEDY}")
    if np.isinf(numbers).any():
        raise HandsError(f"{path}: expected finite numbers under {key}, found infinity: {REMEDY}")
    return numbers


def _check_normalized(path: Path, values: Float[np.ndarray, "2 21 2"]) -> None:
    for key, hand in zip(DETECTION_KEYS, values, strict=True):
        extents = np.abs(hand[np.isfinite(hand)])
        if extents.size and np.median(extents) > MAX_NORMALIZED:
            raise HandsError(
                f"{path}: expected x and y under {key} in [-1, 1] across the picture, found values up to "
                f"{extents.max():g}: divide pixels by half the width and height and subtract 1."
            )


def _in_quarter(values: Float[np.ndarray, "N 2 21 2"]) -> bool:
    """Whether all hands would lie in the lower right quarter of their pictures, were they in [-1, 1]."""
    inside = [np.nanmin(v) > -2 * OUTSIDE for v in values if np.isfinite(v).any()]
    return len(inside) >= MIN_FILES_IN_QUARTER and float(np.mean(inside)) >= MOST_FILES
