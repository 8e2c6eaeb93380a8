"""Arrays on disk, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole

CACHE_REMEDY = "free some space, or set NERFSTUDIO_HANDS_CACHE to a folder that can be written"
"""What helps where a file of our cache cannot be written."""


def write_npz(path: Path, arrays: Mapping[str, Any], *, expected: str, remedy: str = CACHE_REMEDY) -> None:
    """Writes an .npz: to a temporary name first, so that an interruption or a full disk leaves no broken file.

    Args:
        path: The file; its folder is made where it is not there.
        arrays: What goes into it, by name.
        expected: What the error says was expected.
        remedy: What the error says is to be done.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise HandsError(f"{path}: expected {expected}, found '{error.strerror or error}': {remedy}.") from error
