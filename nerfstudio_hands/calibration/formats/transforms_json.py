"""`transforms.json` of nerfstudio and instant-ngp: a camera a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.checked import checked_camera, image_wh, numbers, opencv_lens, pinhole_matrix
from nerfstudio_hands.calibration.checks import check_rigid
from nerfstudio_hands.calibration.lens import Lens
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size

FISHEYE_MODELS = ("OPENCV_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
PERSPECTIVE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "PERSPECTIVE")

OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])

SUFFIXES = ("", ".png", ".jpg", ".jpeg")
"""Synthetic scenes name pictures without their suffix."""


def read_transforms_json(path: Path, content: dict[str, Any]) -> Calibration:
    """Read the cameras of pictures: `frames` with `file_path` and `transform_matrix` (camera to world, OpenGL axes),
    intrinsics in each frame or for all (`fl_x fl_y cx cy w h` or `camera_angle_x`), `camera_model`, `k1` and so on.

    nerfstudio's `applied_transform` is left as it is: the world is the one of the file.

    Args:
        path: The file, beside which pictures are looked up whose size it does not say.
        content: What it holds.

    Raises:
        HandsError: It does not follow the format.
    """
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise HandsError(
            f"{path}: expected a list of frames with file_path and transform_matrix, found none: give a "
            "transforms.json as nerfstudio or instant-ngp write it."
        )
    images: dict[str, CalibratedCamera] = {}
    for number, frame in enumerate(frames):
        name = frame.get("file_path")
        if not isinstance(name, str) or name in images:
            found = "none" if name is None else f"'{str(name)[:80]}'" + " twice" * (name in images)
            raise HandsError(f"{path}: expected a file_path of its own in frame {number}, found {found}: correct it.")
        images[name] = _camera(path, name, {**content, **frame})
    return Calibration(path, _lenses(images), images)


def transforms_text(images: Mapping[str, CalibratedCamera]) -> str:
    """A transforms.json that nerfstudio, instant-ngp and `read_transforms_json` read.

    Args:
        images: Camera of each picture, placed, with its size; all lenses are of one kind.
    """
    frames = [{"file_path": name, **_written_camera(camera)} for name, camera in images.items()]
    fisheye = any(camera.lens is not None and camera.lens.model == "fisheye" for camera in images.values())
    return json.dumps({"camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV", "frames": frames}, indent=1)


def _written_camera(camera: CalibratedCamera) -> dict[str, Any]:
    k = camera.intrinsics
    values = {"fl_x": k[0, 0], "fl_y": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
    if camera.size is not None:
        values |= {"w": camera.size[0], "h": camera.size[1]}
    if camera.lens is not None:
        values |= dict(zip(_lens_keys(camera.lens.model == "fisheye"), camera.lens.coefficients, strict=False))
    to_world = np.linalg.inv(camera.transform) @ OPENGL_TO_OPENCV
    return {**values, "transform_matrix": to_world.tolist()}


def _lens_keys(fisheye: bool) -> tuple[str, ...]:
    return ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


def _lenses(images: dict[str, CalibratedCamera]) -> dict[str, CalibratedCamera]:
    """Each camera once, without a place, where several pictures are of the same."""
    found: dict[tuple[Any, ...], CalibratedCamera] = {}
    for camera in images.values():
        key = (camera.intrinsics.tobytes(), camera.lens, camera.size)
        if key not in found:
            found[key] = CalibratedCamera(f"camera {len(found)}", camera.intrinsics, camera.lens, None, camera.size)
    return {camera.name: camera for camera in found.values()}


def _camera(path: Path, name: str, values: dict[str, Any]) -> CalibratedCamera:
    to_world = numbers(path, f"transform_matrix of {name}", values.get("transform_matrix", []), (-1,))
    if to_world.size not in (12, 16):
        raise HandsError(
            f"{path}: expected 4x4 numbers under transform_matrix of {name}, found {to_world.size}: export it again."
        )
    to_world = np.vstack([to_world.reshape(-1, 4)[:3], [0.0, 0.0, 0.0, 1.0]])
    check_rigid(path, f"transform_matrix of {name}", to_world, what="camera-to-world")
    size = _size(path, name, values)
    return checked_camera(
        path,
        name,
        _intrinsics(path, name, values, size),
        lens=_lens(path, name, values),
        world_to_camera=np.linalg.inv(to_world @ OPENGL_TO_OPENCV),
        size=size,
    )


def _size(path: Path, name: str, values: dict[str, Any]) -> tuple[int, int] | None:
    if "w" in values and "h" in values:
        return image_wh(path, f"w and h of {name}", values["w"], values["h"])
    pictures = [path.parent / f"{name}{suffix}" for suffix in SUFFIXES]
    found = next((picture for picture in pictures if picture.is_file()), None)
    return None if found is None else image_size(found)


def _intrinsics(
    path: Path, name: str, values: dict[str, Any], size: tuple[int, int] | None
) -> Float[np.ndarray, "3 3"]:
    if size is None and not {"fl_x", "cx", "cy"} <= set(values):
        raise HandsError(
            f"{path}: expected w and h, or the picture {name} beside the file, found neither: add them, or move "
            "the file to its pictures."
        )
    focal_x = _focal(path, name, values, "x", size)
    if focal_x is None:
        raise HandsError(
            f"{path}: expected fl_x or camera_angle_x for {name}, found neither: add the focal length in pixels."
        )
    keys = ("cx", "cy")
    center = [_value(path, name, values, key) if key in values else size[i] / 2 for i, key in enumerate(keys)]
    focal_y = _focal(path, name, values, "y", size)
    return pinhole_matrix((focal_x, focal_x if focal_y is None else focal_y), (center[0], center[1]))


def _focal(path: Path, name: str, values: dict[str, Any], axis: str, size: tuple[int, int] | None) -> float | None:
    """Focal length along an axis in pixels, or of the angle of view in radians; None where there is neither."""
    if f"fl_{axis}" in values:
        return _value(path, name, values, f"fl_{axis}")
    key = f"camera_angle_{axis}"
    if key not in values or size is None:
        return None
    angle = _value(path, name, values, key)
    if not 0 < angle < np.pi:
        raise HandsError(f"{path}: expected {key} between 0 and pi, found {angle:g}: give radians.")
    return size["xy".index(axis)] / 2 / float(np.tan(angle / 2))


def _value(path: Path, name: str, values: dict[str, Any], key: str) -> float:
    return float(numbers(path, f"{key} of {name}", values[key], ()))


def _lens(path: Path, name: str, values: dict[str, Any]) -> Lens | None:
    model = values.get("camera_model", "OPENCV")
    if model not in FISHEYE_MODELS + PERSPECTIVE_MODELS:
        raise HandsError(
            f"{path}: expected camera_model among {', '.join(PERSPECTIVE_MODELS + FISHEYE_MODELS)}, found "
            f"'{str(model)[:40]}': undistort the pictures to a pinhole camera first."
        )
    fisheye = model in FISHEYE_MODELS or values.get("is_fisheye") is True
    coefficients = [values.get(key, 0.0) for key in _lens_keys(fisheye)]
    return opencv_lens(path, f"k1 and so on of {name}", coefficients, fisheye=fisheye)
