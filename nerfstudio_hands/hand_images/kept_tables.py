"""Tables of numbers in the cache, gathered once from many small files."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.files.npz_writing import CACHE_REMEDY
from nerfstudio_hands.hand_images.opened_late import OpenedLate


def kept_name(path: Path, ending: str, *marks: object) -> Path:
    """The file in the cache that belongs to a file or folder as it is now.

    Args:
        path: The file or folder.
        ending: Of the name.
        marks: What else the content depends on.
    """
    status = path.stat()
    # A folder changes whenever anything is put beside what was read of it.
    as_it_is = (status.st_size, status.st_mtime_ns) if path.is_file() else ()
    mark = json.dumps([str(path.resolve()), *as_it_is, *map(str, marks)])
    return cache_folder() / "hand-images" / f"{path.stem}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}.{ending}"


def keep_table(kept: Path, table: np.ndarray) -> None:
    """Write an array into the cache, whole or not at all.

    Raises:
        HandsError: The cache cannot be written.
    """
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(kept, suffix=".npy") as temporary:
            np.save(temporary, table)
    except OSError as error:
        raise HandsError(f"{kept}: expected to write annotations, found '{error}': {CACHE_REMEDY}.") from error


class FromKeptTable(OpenedLate):
    """A source whose numbers and names lie in the cache; each process maps them into memory when it asks for them."""

    _kept: Path
    """The table; the names of its rows lie beside it."""

    @cached_property
    def _table(self) -> np.ndarray:
        return np.load(self._kept, mmap_mode="r")

    @cached_property
    def _names(self) -> np.ndarray:
        return np.load(self._kept.with_suffix(".names.npy"), mmap_mode="r")
