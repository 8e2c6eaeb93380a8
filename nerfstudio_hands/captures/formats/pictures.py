"""Reader of own pictures: nerfstudio's `transforms.json`, with landmarks of the hands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nerfstudio_hands.calibration.lens import undistort_points, undistorted_camera
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.landmark_files import ImageLandmarks, no_landmarks, read_landmark_files
from nerfstudio_hands.captures.undistorted_images import undistorted_image
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json
from nerfstudio_hands.files.image_reading import check_size, has_alpha, image_size

TRANSFORMS = "transforms.json"
IMAGES, LANDMARKS, MASKS = "images", "landmarks", "masks"

SUFFIXES = ("", ".png", ".jpg", ".jpeg")
"""Synthetic scenes name pictures without their suffix."""

SHORTEST = 1e-5
"""Seconds between two frames: no camera is as fast."""

SAME_PLACE = 1e-6
"""Largest difference of two transforms of a camera that stands still."""


@dataclass(frozen=True)
class Picture:
    """One picture of `transforms.json`.

    Attributes:
        file: As the file has it.
        path: Where it lies.
        camera: Name of its camera; of a camera of its own that of the picture.
        frame: Number of its frame.
        time: Seconds; None where the file does not say.
        mask: Its mask, where there is one.
    """

    file: str
    path: Path
    camera: str
    frame: int
    time: float | None
    mask: Path | None

    def beside(self, folder: str, suffix: str) -> Path:
        """The file that belongs to it in a folder beside that of the pictures: images/a/1.png, landmarks/a/1.json."""
        parts = Path(self.file).parts
        below = Path(*parts[1:]) if len(parts) > 1 else Path(self.file)
        return self.path.parents[len(parts) - 1] / folder / below.with_suffix(suffix)


def is_images(root: Path) -> bool:
    """Whether a folder holds a `transforms.json`."""
    return (root / TRANSFORMS).is_file()


def read_images(root: Path) -> Capture:
    """Read a folder as nerfstudio's tools and `ns-hands prepare` write it.

    Every entry of `frames` in `transforms.json` has `file_path` and `transform_matrix` (camera to world, OpenGL axes),
    intrinsics (in the entry or for all), and may name its `camera`, `frame` (a number), `time` (seconds) and
    `mask_path`. Pictures that name no camera are those of a camera that moves round a still hand: each is a camera of
    its own, and there is one frame. Pictures of lenses that distort are undistorted into the cache. Landmarks are
    looked for in `landmarks/`, masks in `masks/`, under the names of the pictures; an alpha channel is a mask. Where
    `metric` is not true the unit is unknown, and has to be told from the hand.

    Args:
        root: Folder of `transforms.json`.

    Raises:
        HandsError: A file does not follow the format, no picture is there, or a camera moves during a film.
    """
    path = Path(root) / TRANSFORMS
    calibration, content = read_calibration(path), _content(path)
    problems: list[str] = []
    pictures = _pictures(path, content["frames"], problems)
    cameras, seen = _cameras(path, calibration, pictures)
    numbers = sorted({picture.frame for picture in pictures})
    names = [f"{number:0{len(str(numbers[-1]))}d}" for number in numbers]
    images, masks = {}, {}
    for picture in pictures:
        key, lens = (names[numbers.index(picture.frame)], picture.camera), seen[picture.camera]
        images[key] = undistorted_image(picture.path, lens)
        mask = picture.mask or next((m for m in [picture.beside(MASKS, ".png")] if m.is_file()), None)
        if mask is not None:
            masks[key] = undistorted_image(mask, lens, labels=True)
        elif has_alpha(images[key]):
            masks[key] = images[key]
    capture = Capture(
        root=Path(root),
        cameras=cameras,
        frames=names,
        images=images,
        masks=masks,
        detections=np.full((len(names), len(cameras), 2, 21, 2), np.nan),
        problems=problems,
        metric_landmarks=np.full((len(names), len(cameras), 2, 21, 3), np.nan),
        times=_times(path, pictures, numbers),
        metric=content.get("metric") is True,
    )
    return with_landmarks(capture, _landmarks(pictures, problems), pictures, seen)


def with_landmarks(
    capture: Capture,
    landmarks: Sequence[ImageLandmarks],
    pictures: Sequence[Picture],
    seen: dict[str, CalibratedCamera],
) -> Capture:
    """The capture with what was detected in its pictures as they were taken.

    Args:
        capture: Of these pictures.
        landmarks: Of each picture.
        pictures: In any order.
        seen: Cameras by name, with their lenses.
    """
    numbers = sorted({picture.frame for picture in pictures})
    detections, metric = capture.detections.copy(), capture.metric_landmarks.copy()
    for picture, found in zip(pictures, landmarks, strict=True):
        camera, at = seen[picture.camera], (numbers.index(picture.frame), capture.camera_index(picture.camera))
        new = capture.camera(picture.camera).intrinsics
        detections[at] = undistort_points(found.pixels, camera.intrinsics, camera.lens, new)
        metric[at] = found.metric
    fps = None if capture.times is None or len(numbers) < 2 else float(1 / np.median(np.diff(capture.times)))
    return replace(capture, detections=detections, metric_landmarks=metric, fps=fps)


def _content(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected JSON with frames, found '{error}': export it again.") from error


def _pictures(path: Path, frames: list[dict[str, Any]], problems: list[str]) -> list[Picture]:
    """The pictures that are there."""
    found, missing = [], []
    of_rig = any("camera" in frame for frame in frames)
    for index, frame in enumerate(frames):
        file = _image_file(path.parent, frame["file_path"])
        if file is None:
            missing.append(frame["file_path"])
            continue
        mask = path.parent / str(frame["mask_path"]) if "mask_path" in frame else None
        camera = str(frame.get("camera", "")) if of_rig else Path(frame["file_path"]).stem
        number = _number(path, frame, "frame", 0) if of_rig else 0
        time = _number(path, frame, "time", None) if of_rig else None
        if of_rig and not camera:
            raise HandsError(
                f"{path}: expected a camera in every frame or in none, found none in frame {index}: name the camera of "
                "each picture."
            )
        found.append(Picture(frame["file_path"], file, camera, int(number), time, mask))
    if missing:
        problems.append(f"Pictures of {path.name} that are not there, left out: {len(missing)} ({missing[0]}).")
    if not found:
        raise HandsError(
            f"{path}: expected pictures at the file_path of its frames, found none of {len(frames)}: point --data at "
            "the folder that the paths begin from."
        )
    _check_names(path, found, of_rig)
    return found


def _number(path: Path, frame: dict[str, Any], key: str, default: float | None) -> Any:
    value = frame.get(key, default)
    if value is default or (isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9):
        return value
    raise HandsError(f"{path}: expected a number under {key} of {frame['file_path']}, found '{value}': correct it.")


def _check_names(path: Path, pictures: Sequence[Picture], of_rig: bool) -> None:
    """Raise HandsError where two pictures claim one place."""
    places: dict[tuple[int, str], Picture] = {}
    for picture in pictures:
        other = places.setdefault((picture.frame, picture.camera), picture)
        if other is not picture:
            remedy = "give each picture a frame of its own" if of_rig else "give the pictures different names"
            raise HandsError(
                f"{path}: expected one picture of camera {picture.camera} in frame {picture.frame}, found {other.file} "
                f"and {picture.file}: {remedy}."
            )


def _image_file(folder: Path, name: str) -> Path | None:
    return next((file for suffix in SUFFIXES if (file := folder / f"{name}{suffix}").is_file()), None)


def _cameras(
    path: Path, calibration: Calibration, pictures: Sequence[Picture]
) -> tuple[list[CaptureCamera], dict[str, CalibratedCamera]]:
    """Cameras for undistorted pictures, and as they are, by name."""
    seen: dict[str, CalibratedCamera] = {}
    cameras: dict[str, CaptureCamera] = {}
    for picture in pictures:
        own, size = calibration.images[picture.file], image_size(picture.path)
        check_size(picture.path, size, own.size or size)
        camera = CaptureCamera(
            picture.camera, undistorted_camera(own.intrinsics, own.lens, size), own.world_to_camera, *size  # pyright: ignore[reportArgumentType]
        )
        first = cameras.setdefault(picture.camera, camera)
        seen.setdefault(picture.camera, own)
        check_size(picture.path, size, first.size)
        moved = np.abs(first.world_to_camera - camera.world_to_camera).max()
        if moved > SAME_PLACE or np.abs(first.intrinsics - camera.intrinsics).max() > SAME_PLACE:
            raise HandsError(
                f"{path}: expected camera {picture.camera} to stand still, found another place or lens in "
                f"{picture.file}: leave out the names of cameras where one moves round a still hand; a hand that moves "
                "before a moving camera cannot be read."
            )
    return [camera for _, camera in sorted(cameras.items())], seen


def _times(path: Path, pictures: Sequence[Picture], numbers: Sequence[int]) -> np.ndarray | None:
    """Seconds of each frame of a film: as said, or as many as its number; None of a single frame of several cameras."""
    if len(numbers) == 1 and len({picture.camera for picture in pictures}) > 1:
        return None
    said = {picture.frame: picture.time for picture in pictures if picture.time is not None}
    times = np.array([said.get(number, number) if len(said) == len(numbers) else number for number in numbers], float)
    if (np.diff(times) < SHORTEST).any():
        at = int(np.argmin(np.diff(times)))
        raise HandsError(
            f"{path}: expected times in seconds that grow from frame to frame, found {times[at]:g} of frame "
            f"{numbers[at]} and {times[at + 1]:g} of the next: correct them, or leave time out."
        )
    return times


def _landmarks(pictures: Sequence[Picture], problems: list[str]) -> list[ImageLandmarks]:
    """Landmarks of each picture, none where there is no file."""
    files = [picture.beside(LANDMARKS, ".json") for picture in pictures]
    there = [index for index, file in enumerate(files) if file.is_file()]
    read = read_landmark_files([files[i] for i in there], [image_size(pictures[i].path) for i in there])
    found = [no_landmarks()] * len(pictures)
    for index, landmarks in zip(there, read, strict=True):
        found[index] = landmarks
        problems += landmarks.problems
    return found
