"""Images on disk as `<sequence>/cam<camera>/image<frame>.jpg`: what is there, and what of it shows something."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.captures.camera_fixing import Frame, fixed_camera, joints_by_camera
from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.captures.image_sizes import leave_out_other_sizes, usual_sizes
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size, read_image

JPEG_HEADER, MIN_BYTES = 1000, 0.03
"""An image with less than a header and this many bytes a pixel may be black and is decoded to find out; 6 kB at
334x512."""

MAX_BLACK = 16
"""An image is black whose values all stay below this: what JPEG makes of a frame without light."""

MANY_FOLDERS = 200
"""Folders of images whose listing may take seconds."""


@dataclass
class ImageTree:
    """Images of annotated frames that show something, and what was left out.

    Attributes:
        paths: Path by frame and camera.
        sizes: Width and height of each, likewise.
        count: How many frames or images had each status.
        unannotated: Numbers of the frames without joints.
    """

    paths: dict[tuple[Frame, str], Path] = field(default_factory=dict)
    sizes: dict[tuple[Frame, str], tuple[int, int]] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    unannotated: list[int] = field(default_factory=list)

    def add(self, frame: Frame, camera: str, entry: os.DirEntry | None, *, absent: str = "missing") -> None:
        """Takes up the image of a frame and a camera; where there is none, its status is `absent`."""
        status, size = (absent, (0, 0)) if entry is None else image_status(entry)
        self.count[status] += 1
        if status == "good":
            self.paths[frame, camera], self.sizes[frame, camera] = Path(entry.path), size

    def skipped_summary(self, messages: Mapping[str, str], *, annotation: str) -> list[str]:
        """A sentence for each status of frames or images that were left out: those of `image_status`, and others.

        Args:
            messages: What the others are called.
            annotation: What the unannotated frames lack.
        """
        known = {"black": "Black pictures, left out", "unreadable": "Pictures that cannot be read, left out"}
        sentences = [
            f"{text}: {self.count[status]}." for status, text in {**messages, **known}.items() if self.count[status]
        ]
        if self.unannotated:
            sentences.append(f"Pictures of frames without {annotation}, left out: {some_frames(self.unannotated)}.")
        return sentences


@dataclass(frozen=True)
class CalibratedImages:
    """Images of the cameras whose calibration fits them.

    Attributes:
        cameras: In the order of their names.
        frames: Those with an image, ascending.
        images: Path of (name of a frame, camera name).
        sizes: Width and height of the images of each camera, also of those that were left out.
    """

    cameras: list[CaptureCamera]
    frames: list[Frame]
    images: dict[tuple[str, str], Path]
    sizes: dict[str, tuple[int, int]]

    @property
    def frame_names(self) -> list[str]:
        """Names of the frames."""
        return [frame_name(frame) for frame in self.frames]


def calibrated_images(
    root: Path,
    tree: ImageTree,
    *,
    intrinsics: Mapping[str, Float[np.ndarray, "..."]],
    camera_of: Callable[[str, tuple[int, int], tuple[int, int]], CaptureCamera],
    joints_of: Callable[[Frame], Float[np.ndarray, "*N 3"]],
    trains: Callable[[list[str]], Bool[np.ndarray, " T"]] | None,
    problems: list[str],
    remedy: str,
) -> CalibratedImages:
    """Images of the usual size of their camera, and the cameras, fixed where their calibration needs it.

    Args:
        root: Folder of the capture, for the message.
        tree: The images; those of another size are taken out of `tree.paths`.
        intrinsics: K of each camera in pixels, at least 3x3.
        camera_of: A camera as calibrated, from its name, the size of its images and that of most cameras.
        joints_of: Joints of a frame, metres in the capture's world.
        trains: Which frames may say how a calibration is to be read, told from the sequence of each; by default all.
        problems: Receives a sentence for whatever is left out or fixed.
        remedy: What to do where no camera is left.

    Raises:
        HandsError: No calibration fits its images.
    """
    sizes = usual_sizes(tree.sizes, intrinsics)
    leave_out_other_sizes("Pictures", tree.paths, tree.sizes, sizes, problems)
    usual = Counter(sizes.values()).most_common(1)[0][0]
    calibrated = [camera_of(name, size, usual) for name, size in sorted(sizes.items())]
    shown = joints_by_camera(tree.paths, joints_of, trains)
    fixed = [fixed_camera(camera, shown[camera.name], usual, problems) for camera in calibrated]
    cameras = [camera for camera in fixed if camera is not None]
    names = {camera.name for camera in cameras}
    kept = {key: path for key, path in sorted(tree.paths.items()) if key[1] in names}
    if not kept:
        found = " ".join(problems)
        raise HandsError(
            f"{root}: expected a camera whose calibration fits its pictures, found none ({found}): {remedy}"
        )
    images = {(frame_name(frame), name): path for (frame, name), path in kept.items()}
    return CalibratedImages(cameras, sorted({frame for frame, _ in kept}), images, sizes)


def frame_name(frame: Frame) -> str:
    """What a frame of the tree is called in a capture: `<sequence>/<frame number>`."""
    return f"{frame[0]}/{frame[1]}"


def listed_images(folder: Path) -> dict[int, os.DirEntry]:
    """Images image<frame>.jpg of a folder by frame number; no file is touched."""
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


def image_status(entry: os.DirEntry) -> tuple[str, tuple[int, int]]:
    """Whether an image is "good", "black" or "unreadable", and its width and height (0 where it cannot be read)."""
    try:
        width, height = image_size(Path(entry.path))
        is_small = entry.stat().st_size <= JPEG_HEADER + MIN_BYTES * width * height
        is_black = is_small and read_image(Path(entry.path)).max() < MAX_BLACK
        return "black" if is_black else "good", (width, height)
    except (HandsError, OSError):
        return "unreadable", (0, 0)


def some_frames(numbers: Iterable[int]) -> str:
    """The first few frame numbers and how many there are."""
    numbers = list(numbers)
    return f"{len(numbers)} frames ({', '.join(map(str, numbers[:3]))}{', ...' * (len(numbers) > 3)})"
