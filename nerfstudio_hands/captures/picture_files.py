"""Pictures on disk as `<sequence>/cam<camera>/image<frame>.jpg`: what is there, and what of it shows something."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from nerfstudio_hands.captures.capture import image_size, read_image
from nerfstudio_hands.errors import HandsError

JPEG_HEADER, FEWEST_BYTES = 1000, 0.03
"""A picture with less than a header and this many bytes a pixel may be black and is decoded to find out; 6 kB at
334x512."""

BRIGHTEST_BLACK = 16
"""A picture is black whose values all stay below this: what JPEG makes of a frame without light."""

MANY_FOLDERS = 200
"""Folders of pictures whose listing may take seconds."""


def listed_pictures(folder: Path) -> dict[int, os.DirEntry]:
    """Pictures image<frame>.jpg of a folder by frame number; no file is touched."""
    with os.scandir(folder) as entries:
        return {
            int(entry.name[5:-4]): entry
            for entry in entries
            if entry.name.startswith("image") and entry.name.endswith(".jpg") and entry.name[5:-4].isdecimal()
        }


def folders_in(folder: Path, prefix: str = "") -> list[str]:
    """Names of the folders in a folder that begin with a prefix, without it."""
    with os.scandir(folder) as entries:
        return sorted(e.name[len(prefix) :] for e in entries if e.name.startswith(prefix) and e.is_dir())


def picture_fate(entry: os.DirEntry) -> tuple[str, tuple[int, int]]:
    """Whether a picture is "good", "black" or "unreadable", and its width and height (0 where it cannot be read)."""
    try:
        width, height = image_size(Path(entry.path))
        is_small = entry.stat().st_size <= JPEG_HEADER + FEWEST_BYTES * width * height
        is_black = is_small and read_image(Path(entry.path)).max() < BRIGHTEST_BLACK
        return "black" if is_black else "good", (width, height)
    except (HandsError, OSError):
        return "unreadable", (0, 0)


def left_out(count: Mapping[str, int], said: Mapping[str, str]) -> list[str]:
    """A sentence for each fate that frames or pictures met: those of `picture_fate`, and others in words of their own.

    Args:
        count: How many met each fate.
        said: What the other fates are called.
    """
    said = {**said, "black": "Black pictures, left out", "unreadable": "Pictures that cannot be read, left out"}
    return [f"{text}: {count[fate]}." for fate, text in said.items() if count[fate]]


def some_frames(numbers: Iterable[int]) -> str:
    """The first few frame numbers and how many there are."""
    numbers = list(numbers)
    return f"{len(numbers)} frames ({', '.join(map(str, numbers[:3]))}{', ...' * (len(numbers) > 3)})"
