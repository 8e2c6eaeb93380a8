"""Where pictures come from: a video a camera, a folder of pictures a camera, or one folder of a camera a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size, read_image
from nerfstudio_hands.files.video_reading import VIDEO_SUFFIXES, read_video, read_video_header

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class SourceImage:
    """A picture of a source.

    Attributes:
        name: Of its file; of a video its number.
        seconds: Since the first, NaN where a folder does not say.
        image: RGB, upright.
    """

    name: str
    seconds: float
    image: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Source:
    """Pictures of one camera.

    Attributes:
        name: Of the camera.
        files: A video, or pictures in the order of their names.
    """

    name: str
    files: tuple[Path, ...]

    @property
    def is_video(self) -> bool:
        """Whether it is one."""
        return self.files[0].suffix.lower() in VIDEO_SUFFIXES

    @property
    def count(self) -> int | None:
        """How many pictures there are, None where a video does not say.

        Raises:
            HandsError: The video cannot be read.
        """
        return read_video_header(self.files[0]).count if self.is_video else len(self.files)

    def pictures(self) -> Iterator[SourceImage]:
        """The pictures one by one, so that memory does not grow with their number.

        Raises:
            HandsError: A file cannot be read.
        """
        if self.is_video:
            for number, picture in enumerate(read_video(self.files[0])):
                yield SourceImage(f"{number:06d}", picture.seconds, picture.image)
            return
        for file in self.files:
            yield SourceImage(file.stem, float("nan"), read_image(file))


def video_sources(videos: Sequence[Path]) -> list[Source]:
    """A camera a video, named after the file.

    Raises:
        HandsError: A file is absent or no video, or two have one name.
    """
    for path in videos:
        other_kind = path.suffix.lower() not in VIDEO_SUFFIXES
        if not path.is_file() or other_kind:
            there = "a folder" if path.is_dir() else f"'{path.suffix}'" if other_kind else "a device or pipe"
            found = there if path.exists() else "no such file"
            raise HandsError(
                f"--videos: expected video files ({', '.join(VIDEO_SUFFIXES[:5])}, ..), found {found} at {path}: "
                f"{'name the films in it' if path.is_dir() else 'correct the path'}, or give pictures with --images."
            )
    return _with_names([Source(path.stem, (path,)) for path in videos], "--videos")


def folder_sources(folders: Sequence[Path]) -> list[Source]:
    """A camera a folder, named after it.

    Raises:
        HandsError: A folder is absent or holds no pictures, or two have one name.
    """
    return _with_names([Source(folder.resolve().name, tuple(_images_in(folder))) for folder in folders], "--images")


def single_images(folder: Path) -> list[Source]:
    """A camera a picture of a folder, named after the files.

    Raises:
        HandsError: The folder is absent or holds no pictures.
    """
    return _with_names([Source(path.stem, (path,)) for path in _images_in(folder)], "--images")


def image_or_video(path: Path) -> Source:
    """One picture, or a video.

    Raises:
        HandsError: It is neither.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        image_size(path)
        return Source(path.stem, (path,))
    return video_sources([path])[0]


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise HandsError(
            f"--images: expected a folder of pictures, found {found} at {folder}: correct the path, or give films with "
            "--videos."
        )
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not images:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "an empty folder"
        raise HandsError(
            f"{folder}: expected pictures ({', '.join(IMAGE_SUFFIXES)}), found {found}: point --images at the folder "
            "that holds them, or give videos with --videos."
        )
    image_size(images[0])
    return sorted(images, key=lambda path: _natural(path.stem))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _with_names(sources: list[Source], option: str) -> list[Source]:
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise HandsError(f"{option}: expected a name for each camera, found '{twice}' twice: rename one of them.")
    return sources
