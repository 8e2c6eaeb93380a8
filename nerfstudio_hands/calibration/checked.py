"""From the numbers of a file to a camera whose numbers are such as cameras have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.checks import LARGEST, MAX_SIDE, check_intrinsics, check_rigid
from nerfstudio_hands.calibration.lens import FISHEYE_LENGTH, OPENCV_LENGTHS, Lens
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

MAX_CAMERAS = 100_000
"""Cameras or pictures that a file may have."""

MAX_ITEMS = 1000
"""Numbers and lists under one name; a camera has at most 16."""


def numbers(path: Path, key: str, value: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "*shape"]:
    """Numbers of a file as an array of this shape, whatever lists they stand in; texts that are numbers count.

    Args:
        path: The file, to name.
        key: What they are called there.
        value: As it was read.
        shape: Of the array wanted; a -1 stands for any length.

    Raises:
        HandsError: They are others, too many or too few, or not finite.
    """
    what = f"{'x'.join('N' if n < 0 else str(n) for n in shape) or 'one'} number{'s' * (shape != ())}"
    flat = _flattened(value)
    try:
        found = np.array([float(item) for item in flat])
    except (TypeError, ValueError, OverflowError) as error:
        raise HandsError(
            f"{path}: expected {what} under {key}, found '{str(error)[:80]}': export the calibration again."
        ) from error
    if any(isinstance(item, bool) for item in flat) or (-1 not in shape and found.size != np.prod(shape, dtype=int)):
        raise HandsError(f"{path}: expected {what} under {key}, found {found.size}: export the calibration again.")
    if not (np.abs(found) < LARGEST).all():
        raise HandsError(
            f"{path}: expected {what} under {key} that are finite and below {LARGEST:.0e}, found "
            f"{found[~(np.abs(found) < LARGEST)][0]:g}: calibrate again or mend the file."
        )
    return found.reshape(shape)


def _flattened(value: Any) -> list[Any]:
    """Items of lists in lists, in order; those of YAML may hold themselves, so that an end is set."""
    if not isinstance(value, (list, tuple)):
        return [value]
    found: list[Any] = []
    waiting = list(reversed(value))
    for _ in range(MAX_ITEMS):
        if not waiting:
            break
        item = waiting.pop()
        if isinstance(item, (list, tuple)):
            waiting.extend(reversed(item))
        else:
            found.append(item)
    return found


def image_wh(path: Path, key: str, width: Any, height: Any) -> tuple[int, int]:
    """Width and height in pixels; files have them as fractions, too.

    Raises:
        HandsError: They are none.
    """
    found = numbers(path, key, [width, height], (2,))
    if not ((found >= 1) & (found <= MAX_SIDE) & (found == found.round())).all():
        raise HandsError(
            f"{path}: expected width and height in pixels under {key}, found {found[0]:g} and {found[1]:g}: mend the "
            "file."
        )
    return int(found[0]), int(found[1])


def opencv_lens(path: Path, key: str, coefficients: Any, *, fisheye: bool = False) -> Lens | None:
    """A lens of the numbers that OpenCV writes; None where it does not distort. Missing ones at the end are zero.

    Raises:
        HandsError: They are no such numbers.
    """
    found = numbers(path, key, coefficients, (-1,))
    lengths = (FISHEYE_LENGTH,) if fisheye else OPENCV_LENGTHS
    if len(found) > lengths[-1]:
        raise HandsError(
            f"{path}: expected at most {lengths[-1]} distortion coefficients under {key}, found {len(found)}: export "
            "OpenCV's."
        )
    length = next(length for length in lengths if length >= len(found))
    padded = tuple(np.pad(found, (0, length - len(found))).tolist())
    lens = Lens("fisheye" if fisheye else "opencv", padded)
    return lens if lens.distorts else None


def opencv_intrinsics(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """K with our centre of the upper left pixel of one with OpenCV's, where it is 0."""
    shifted = np.array(matrix, dtype=np.float64)
    shifted[:2, 2] += PIXEL_CENTER
    return shifted


def pinhole_matrix(focal: tuple[float, float], center: tuple[float, float]) -> Float[np.ndarray, "3 3"]:
    """K of focal lengths and principal point in pixels."""
    return np.array([[focal[0], 0.0, center[0]], [0.0, focal[1], center[1]], [0.0, 0.0, 1.0]])


def rigid(rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """The transform of four rows."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def rotation_of(path: Path, key: str, values: Any) -> Float[np.ndarray, "3 3"]:
    """The rotation that three numbers (axis times angle in radians) or nine (a matrix) say.

    Raises:
        HandsError: They are neither.
    """
    found = numbers(path, key, values, (-1,))
    if found.size not in (3, 9):
        raise HandsError(
            f"{path}: expected a rotation of 3 (Rodrigues) or 9 numbers under {key}, found {found.size}: export the "
            "calibration again."
        )
    return cv2.Rodrigues(found)[0] if found.size == 3 else found.reshape(3, 3)


def checked_camera(
    path: Path,
    name: str,
    intrinsics: Float[np.ndarray, "3 3"],
    *,
    lens: Lens | None = None,
    world_to_camera: Float[np.ndarray, "4 4"] | None = None,
    size: tuple[int, int] | None = None,
    placed_by: Path | None = None,
) -> CalibratedCamera:
    """A camera whose K is one of square axes and whose transform is rigid; its numbers are finite already.

    Args:
        path: The file, to name.
        name: Of the camera.
        intrinsics: K in pixels.
        lens: Its distortion.
        world_to_camera: Where the file places it.
        size: Width and height in pixels.
        placed_by: The file with the transform, where that is another one.

    Raises:
        HandsError: They are not, or the name is empty.
    """
    if not name.strip():
        raise HandsError(f"{path}: expected a name for each camera, found an empty one: name the camera.")
    padded = np.eye(4)
    padded[:3, :3] = intrinsics
    check_intrinsics(path, f"K of camera {name}", padded)
    if world_to_camera is not None:
        check_rigid(placed_by or path, f"the transform of camera {name}", world_to_camera)
    return CalibratedCamera(name, np.array(intrinsics, dtype=np.float64), lens, world_to_camera, size)
