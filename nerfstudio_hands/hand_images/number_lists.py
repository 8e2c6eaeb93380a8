"""Long lists of numbers in JSON, streamed once into arrays on disk that are then mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import ijson
import numpy as np
import rich.progress
from jaxtyping import Float32

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.guarded_files import NestingGuard, UnreadableFile, open_regular
from nerfstudio_hands.files.npz_writing import CACHE_REMEDY
from nerfstudio_hands.hand_images.kept_tables import kept_name

LARGE = 20_000_000
"""Bytes; files up to here are read in seconds."""

REMEDY = "unpack the data set again"


def kept_numbers(path: Path, shape: tuple[int, ...], count: int | None = None) -> Path:
    """The array of a file, as .npy in the cache: float32, [N, *shape].

    Args:
        path: JSON, a list of N lists of numbers.
        shape: Of each of the N, -1 for what the first says; the file may nest its numbers otherwise.
        count: N, where that is known; else the file is read as a whole.

    Raises:
        HandsError: The file is cut short, is no such list, or the cache cannot be written.
    """
    kept = kept_name(path, "npy", shape)
    if kept.is_file():
        return kept
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(kept, suffix=".npy") as temporary:
            _stream(path, shape, count, temporary)
    except OSError as error:
        raise HandsError(
            f"{kept}: expected to write the numbers of {path.name}, found '{error.strerror or error}': {CACHE_REMEDY}."
        ) from error
    return kept


def _stream(path: Path, shape: tuple[int, ...], count: int | None, temporary: Path) -> None:
    number = 0
    try:
        if count is None:
            count = sum(1 for _ in streamed_items(path))
        shape = _numbers(next(streamed_items(path), ()), shape).shape
        table = np.lib.format.open_memmap(temporary, "w+", np.float32, (count, *shape))
        for number, item in enumerate(streamed_items(path)):
            if number >= count:
                raise UnreadableFile(f"more than {count} entries")
            table[number] = _numbers(item, shape)
        if number + 1 < count:
            raise UnreadableFile(f"{number + 1} entries")
        table.flush()
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected a list of {count} entries, found {error}; {REMEDY}.") from error
    except ijson.JSONError as error:
        size, found = path.stat().st_size, str(error).splitlines()[0].strip()
        raise HandsError(
            f"{path}: expected complete JSON, found {size} bytes that are cut short or broken after entry {number} "
            f"('{found}'); {REMEDY}."
        ) from error
    except (TypeError, ValueError) as error:
        wanted = " x ".join(map(str, shape))
        raise HandsError(
            f"{path}: expected {wanted} numbers an entry, found another in entry {number}; {REMEDY}."
        ) from error


def _numbers(item: object, shape: tuple[int, ...]) -> Float32[np.ndarray, "*shape"]:
    return np.array(item, np.float32).reshape(shape)


def streamed_items(path: Path, prefix: str = "item") -> Iterator[Any]:
    """A list's entries one by one, with a progress bar where that takes long.

    Args:
        path: JSON.
        prefix: Where the list is, in the words of ijson: by default the file itself.

    Raises:
        UnreadableFile: The file cannot be read.
        ijson.JSONError: It is no JSON, or cut short.
    """
    with open_regular(path) as file:
        size = path.stat().st_size
        watched = rich.progress.wrap_file(
            cast(BinaryIO, file), size, description=f"Reading {path.name}", transient=True, disable=size < LARGE
        )
        with watched as pieces:
            yield from ijson.items(cast("IO[bytes]", NestingGuard(pieces)), prefix, use_float=True)
