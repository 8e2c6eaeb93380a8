"""COLMAP's cameras and pictures, as text or binary (its documentation, "Output Format", and `read_write_model.py`)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.checked import (
    MAX_CAMERAS,
    checked_camera,
    image_wh,
    numbers,
    opencv_lens,
    pinhole_matrix,
    rigid,
)
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_bytes, read_text

MODELS = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
    "OPENCV_FISHEYE": (5, 8),
    "FULL_OPENCV": (6, 12),
    "FOV": (7, 5),
    "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5),
    "THIN_PRISM_FISHEYE": (10, 12),
}
"""Number and count of parameters of COLMAP's camera models."""

ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
UNREAD = ("FOV", "THIN_PRISM_FISHEYE")

Picture = tuple[str, int, Float[np.ndarray, "4"], Float[np.ndarray, "3"]]
"""Name, camera, quaternion (w, x, y, z) and translation of the world-to-camera transform."""


def is_colmap(folder: Path) -> bool:
    """Whether a folder holds a reconstruction."""
    return any((folder / f"cameras{s}").is_file() and (folder / f"images{s}").is_file() for s in (".bin", ".txt"))


def read_colmap(folder: Path) -> Calibration:
    """Read a reconstruction: `cameras.bin` and `images.bin`, or the same as text; the unit is not known.

    COLMAP's centre of the upper left pixel is (0.5, 0.5), as ours.

    Raises:
        HandsError: The files do not follow the format, or a camera is of a model that is none of OpenCV's.
    """
    binary = (folder / "cameras.bin").is_file() and (folder / "images.bin").is_file()
    suffix = ".bin" if binary else ".txt"
    cameras_file, images_file = folder / f"cameras{suffix}", folder / f"images{suffix}"
    cameras: dict[int, CalibratedCamera] = {}
    for number, camera in (_binary_cameras if binary else _text_cameras)(cameras_file):
        if cameras.setdefault(number, camera) is not camera:
            _refuse(cameras_file, f"camera {number} once", "it twice")
    images: dict[str, CalibratedCamera] = {}
    for name, number, quaternion, translation in (_binary_images if binary else _text_images)(images_file):
        if number not in cameras or name in images:
            _refuse(images_file, f"camera {number} of picture {name}", "it twice" if name in images else "no such one")
        if not 0.5 < np.linalg.norm(quaternion) < 2:
            _refuse(images_file, f"a unit quaternion of picture {name}", str(quaternion.round(3).tolist()))
        rotation = Rotation.from_quat(quaternion[[1, 2, 3, 0]]).as_matrix()
        camera = cameras[number]
        images[name] = checked_camera(
            images_file,
            name,
            camera.intrinsics,
            lens=camera.lens,
            world_to_camera=rigid(rotation, translation),
            size=camera.size,
        )
    if not images:
        _refuse(images_file, "at least one picture", "none")
    return Calibration(folder, {camera.name: camera for camera in cameras.values()}, images)


def _refuse(path: Path, expected: str, found: str) -> NoReturn:
    raise HandsError(f"{path}: expected {expected}, found {found}: export the reconstruction with COLMAP again.")


def _camera(path: Path, number: int, model: str, size: tuple[int, int], values: list[float]) -> CalibratedCamera:
    if model in UNREAD or model not in MODELS:
        raise HandsError(
            f"{path}: expected a camera model among {', '.join(m for m in MODELS if m not in UNREAD)}, found {model} "
            f"of camera {number}: undistort with `colmap image_undistorter`, or reconstruct with --camera_model OPENCV."
        )
    found = numbers(path, f"parameters of camera {number}", values, (MODELS[model][1],))
    focals = 1 if model in ONE_FOCAL else 2
    return checked_camera(
        path,
        str(number),
        pinhole_matrix((found[0], found[focals - 1]), (found[focals], found[focals + 1])),
        lens=opencv_lens(
            path,
            f"distortion of camera {number}",
            found[focals + 2 :].tolist(),
            fisheye=model.endswith("FISHEYE"),
        ),
        size=size,
    )


def _lines(path: Path) -> Iterator[str]:
    try:
        text = read_text(path)
    except UnreadableFile as error:
        _refuse(path, "a text of COLMAP", f"'{error}'")
    return (line.strip() for line in text.splitlines() if not line.startswith("#"))


def _text_cameras(path: Path) -> Iterator[tuple[int, CalibratedCamera]]:
    for line in _lines(path):
        words = line.split()
        if not words:
            continue
        if len(words) < 5 or not words[0].isdecimal() or len(words[0]) > 18:
            _refuse(path, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS in a line", f"'{line[:60]}'")
        size = image_wh(path, f"size of camera {words[0]}", words[2], words[3])
        yield int(words[0]), _camera(path, int(words[0]), words[1], size, words[4:])  # pyright: ignore[reportArgumentType]


def _text_images(path: Path) -> Iterator[Picture]:
    lines = list(_lines(path))
    # Every picture has a second line with its points, which is empty where it has none.
    for line in lines[::2]:
        words = line.split(maxsplit=9)
        if not words:
            continue
        if len(words) < 10 or not words[8].isdecimal() or len(words[8]) > 18:
            _refuse(path, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME in every other line", f"'{line[:60]}'")
        pose = numbers(path, f"pose of {words[9]}", words[1:8], (7,))
        yield words[9], int(words[8]), pose[:4], pose[4:]


class _Bytes:
    """A binary file that is read from its beginning on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._content = read_bytes(path)
        except UnreadableFile as error:
            _refuse(path, "a binary file of COLMAP", f"'{error}'")
        self._at = 0

    def next(self, form: str) -> tuple:
        size = struct.calcsize("<" + form)
        self.skip(size)
        return struct.unpack_from("<" + form, self._content, self._at - size)

    def skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._content):
            _refuse(self.path, "a whole file", f"one that ends after {len(self._content)} bytes")

    def text(self) -> str:
        end = self._content.find(b"\0", self._at)
        if end < 0:
            _refuse(self.path, "names that end", "one that does not")
        found = self._content[self._at : end].decode("utf-8", "replace")
        self._at = end + 1
        return found

    def count(self) -> int:
        (count,) = self.next("Q")
        if count > MAX_CAMERAS:
            _refuse(self.path, f"at most {MAX_CAMERAS} entries", str(count))
        return count


def _binary_cameras(path: Path) -> Iterator[tuple[int, CalibratedCamera]]:
    names = {number: (model, count) for model, (number, count) in MODELS.items()}
    file = _Bytes(path)
    for _ in range(file.count()):
        number, model, width, height = file.next("iiQQ")
        name, count = names.get(model, (f"number {model}", 0))
        size = image_wh(path, f"size of camera {number}", width, height)
        yield number, _camera(path, number, name, size, list(file.next(f"{count}d")))


def _binary_images(path: Path) -> Iterator[Picture]:
    file = _Bytes(path)
    for _ in range(file.count()):
        _, *pose, number = file.next("i7di")
        name = file.text()
        (points,) = file.next("Q")
        file.skip(24 * points)
        found = numbers(path, f"pose of {name}", pose, (7,))
        yield name, number, found[:4], found[4:]
