"""Crops of hands, as bytes in one memory-mapped file: what training reads of thousands of images.

`NAME.bytes` holds the crops, one after the other, four bytes a pixel: red, green, blue and flags. `NAME.npz` says where
each lies and is written last, so that it is there only when all are. Until then `NAME.rows` keeps the account, and an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import mmap
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from nerfstudio_hands.datamanagers.pixel_labels import MaskSource, PixelLabels
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.labels import PixelLabel

CROP_VERSION = 5
"""Raised whenever older files would be read wrongly, or labels are made in another way."""

LABEL, NEAR_HAND, IN_MASK, IN_REGION, IN_INNER, IGNORED, DOUBTFUL = 3, 4, 8, 16, 32, 64, 128
"""Bits of a pixel's flags: its label, and whether it is background next to the hand, in the mask, in the region that a
prediction is judged by, in the part of it that the fit projects to, of no part in an evaluation, or where the mask is
contradicted."""

BOUNDARY_WIDTH = 3
"""Pixels from hand to background, at most, over which labels leave open where the boundary is, and the mask is asked.
"""

CROPS_KEPT = 64
"""Crops that stay in memory between batches: all of a small capture's."""

INDEX = np.dtype(
    [
        ("image", "<i4"),
        ("frame", "<i4"),
        ("source", "u1"),
        ("offset", "<i8"),
        ("top", "<i4"),
        ("left", "<i4"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("num_hand", "<i4"),
        ("num_background", "<i4"),
        ("checksum", "<u4"),
    ]
)
"""What the index says of a crop: index of its image in the data set, frame, where its mask came from, first byte in
the file, box in the image (all zero where the hand is not seen), number of hand pixels and of background pixels next to
them, and `_checksum` of all this."""


@dataclass(frozen=True)
class Crop:
    """The part of one image round its hand.

    Attributes:
        pixels: red, green, blue, flags.
        top, left: where its first pixel lies in the image.
    """

    pixels: UInt8[np.ndarray, "h w 4"]
    top: int
    left: int

    @property
    def label(self) -> UInt8[np.ndarray, "h w"]:
        """`PixelLabel.BACKGROUND`, `PixelLabel.HAND`, `PixelLabel.IGNORE` or `PixelLabel.OBJECT` at each pixel."""
        return self.pixels[..., 3] & LABEL

    @cached_property
    def hand(self) -> Int[np.ndarray, "M"]:
        """Flat indices of the hand's pixels."""
        return np.flatnonzero(self.label == PixelLabel.HAND).astype(np.int32)

    @cached_property
    def hand_and_object(self) -> Int[np.ndarray, "K"]:
        """Flat indices of the pixels of the hand and of what it holds."""
        return np.flatnonzero((self.label == PixelLabel.HAND) | (self.label == PixelLabel.OBJECT)).astype(np.int32)

    @cached_property
    def background(self) -> Int[np.ndarray, "B"]:
        """Flat indices of background pixels next to the hand."""
        return np.flatnonzero(self.pixels[..., 3] & NEAR_HAND).astype(np.int32)

    @cached_property
    def boundary(self) -> Int[np.ndarray, "O"]:
        """Flat indices of the pixels between hand and background, of which only the mask says what they show."""
        return self._between(PixelLabel.HAND, PixelLabel.BACKGROUND, but_near=PixelLabel.OBJECT)

    @cached_property
    def boundary_with_object(self) -> Int[np.ndarray, "O"]:
        """The same of the hand and what it holds."""
        return np.union1d(
            self._between(PixelLabel.HAND, PixelLabel.BACKGROUND),
            self._between(PixelLabel.OBJECT, PixelLabel.BACKGROUND),
        )

    def _between(self, *labels: int, but_near: int | None = None) -> Int[np.ndarray, "O"]:
        ball = np.ones((2 * BOUNDARY_WIDTH + 1,) * 2, np.uint8)
        found = (self.pixels[..., 3] & (LABEL | DOUBTFUL)) == PixelLabel.IGNORE
        for label in labels:
            found &= cv2.dilate((self.label == label).astype(np.uint8), ball) > 0
        if but_near is not None:
            found &= cv2.dilate((self.label == but_near).astype(np.uint8), ball) == 0
        return np.flatnonzero(found).astype(np.int32)


class CropCache:
    """Reads crops; what it maps of the file is let go again, so that memory does not grow with the file.

    Args:
        path: the index, `NAME.npz`.

    Attributes:
        index: a record of `INDEX` for each crop.

    Raises:
        HandsError: no finished cache of this version is there; later, a crop is not what was written.
    """

    def __init__(self, path: Path):
        try:
            with np.load(path, allow_pickle=False) as archive:
                version, self.index = int(archive["version"]), archive["index"].astype(INDEX)
            size = path.with_suffix(".bytes").stat().st_size
        except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise HandsError(f"{path}: expected an index of crops, found '{error}': remove it, to cut anew.") from error
        self.path = path
        needed = int((self.index["offset"] + _num_bytes(self.index)).max(initial=0))
        if version != CROP_VERSION or size < needed:
            raise HandsError(
                f"{path}: expected {needed} bytes of crops of version {CROP_VERSION}, found {size} of version "
                f"{version}: remove it, to cut anew."
            )
        self._map = None
        if needed:
            with path.with_suffix(".bytes").open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.crop = lru_cache(CROPS_KEPT)(self._read)

    def __len__(self) -> int:
        return len(self.index)

    def prefetch(self, crops: Sequence[int]) -> None:
        """Tells the system which crops will be asked for next, so that it reads them while training computes."""
        for number in crops:
            self._advise("MADV_WILLNEED", self.index[number].item())

    def labels(self, number: int, height: int, width: int) -> PixelLabels:
        """Labels of a whole image [H, W]; pixels outside of the crop take no part in training."""
        crop = self.crop(number)
        flags = np.full((height, width), PixelLabel.IGNORE, dtype=np.uint8)
        flags[crop.top : crop.top + len(crop.pixels), crop.left : crop.left + crop.pixels.shape[1]] = crop.pixels[
            ..., 3
        ]
        parts = ((flags & bit) > 0 for bit in (IN_MASK, IN_REGION, IGNORED, IN_INNER))
        return PixelLabels(flags & LABEL, *parts, MaskSource(int(self.index["source"][number])))  # pyright: ignore[reportCallIssue]

    def _read(self, number: int) -> Crop:
        record = self.index[number]
        entry = record.item()
        _, _, _, offset, top, left, height, width, _, _, checksum = entry
        if not height * width:
            return Crop(np.zeros((0, 0, 4), np.uint8), 0, 0)
        self._advise("MADV_WILLNEED", entry)
        pixels = np.frombuffer(self._map, np.uint8, height * width * 4, offset).reshape(height, width, 4).copy()  # pyright: ignore[reportArgumentType, reportCallIssue]
        self._advise("MADV_DONTNEED", entry)
        if _checksum(record, pixels) != checksum:
            raise HandsError(
                f"{self.path.with_suffix('.bytes')}: expected crops as they were cut, found crop {number} altered: "
                "remove the file, to cut anew."
            )
        return Crop(pixels, top, left)

    def _advise(self, advice: str, entry: tuple) -> None:
        _, _, _, offset, _, _, height, width, _, _, _ = entry
        if height * width and hasattr(mmap, advice):
            start = offset // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(getattr(mmap, advice), start, offset + height * width * 4 - start)


class CropWriter:
    """Writes crops one after the other, or goes on with what an interrupted run has written.

    Args:
        path: the index that `finish` will write, `NAME.npz`.

    Raises:
        HandsError: the folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path):
        self.path = path
        with explain_disk_full(path, 0):
            account, crops = path.with_suffix(".rows"), path.with_suffix(".bytes")
            account.touch()
            crops.touch()
            self.index = _whole(np.fromfile(account, INDEX), crops)
            self._end = int(self.index[-1]["offset"] + _num_bytes(self.index[-1])) if self.index else 0
            os.truncate(account, len(self.index) * INDEX.itemsize)
            os.truncate(crops, self._end)
            self._account, self._crops = account.open("ab"), crops.open("ab")

    def add(
        self,
        *,
        image: int,
        frame: int,
        source: MaskSource,
        pixels: UInt8[np.ndarray, "h w 4"],
        top: int,
        left: int,
    ) -> None:
        """Appends a crop."""
        flags = pixels[..., 3]
        counts = ((flags & LABEL) == PixelLabel.HAND).sum(), ((flags & NEAR_HAND) > 0).sum()
        entry = np.array([(image, frame, source, self._end, top, left, *pixels.shape[:2], *counts, 0)], INDEX)
        entry["checksum"] = _checksum(entry[0], pixels)
        with explain_disk_full(self.path, len(self.index)):
            self._crops.write(np.ascontiguousarray(pixels).data)
            self._crops.flush()
            self._account.write(entry.tobytes())
            self._account.flush()
        self._end += pixels.size
        self.index.append(entry[0])

    def close(self) -> None:
        """Leaves what has been written for another time."""
        self._crops.close()
        self._account.close()

    def finish(self) -> None:
        """Writes the index."""
        self.close()
        with explain_disk_full(self.path, len(self.index)), written_whole(self.path) as part, part.open("wb") as file:
            np.savez(file, version=CROP_VERSION, index=np.array(self.index, INDEX))
        self.path.with_suffix(".rows").unlink()


def _checksum(entry: np.void, pixels: UInt8[np.ndarray, "h w 4"] | bytes) -> int:
    """What changes when a crop does, or what the index says of it; the checksum itself stands last there."""
    content = pixels if isinstance(pixels, bytes) else np.ascontiguousarray(pixels).data
    return zlib.crc32(content, zlib.crc32(entry.tobytes()[: -INDEX["checksum"].itemsize]))


def _whole(index: np.ndarray, crops: Path) -> list[np.void]:
    """The entries up to the first that is not followed by its crop as it was written."""
    kept: list[np.void] = []
    end, size = 0, crops.stat().st_size
    with crops.open("rb") as file:
        for entry in index:
            length = int(_num_bytes(entry))
            if entry["offset"] != end or not 0 <= length <= size - end:
                break
            if _checksum(entry, file.read(length)) != entry["checksum"]:
                break
            kept.append(entry)
            end += length
    return kept


def _num_bytes(entry: np.ndarray | np.void) -> np.ndarray | np.int64:
    return entry["height"].astype(np.int64) * entry["width"] * 4


@contextmanager
def explain_disk_full(path: Path, done: int) -> Iterator[None]:
    """Turns a full disk, or one that cannot be written, into one sentence; `done` crops have been written."""
    try:
        yield
    except OSError as error:
        raise HandsError(
            f"{path.parent}: expected a folder with room for crops, found '{error.strerror or error}' after {done:,}: "
            "free some space, or set NERFSTUDIO_HANDS_CACHE to another folder; what is done is kept."
        ) from error
