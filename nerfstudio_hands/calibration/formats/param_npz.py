"""`param.npz`: the calibration of a capture room, in the forms that are about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.checks import FARTHEST, check_intrinsics, check_rigid
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz

SHAPES = {
    "int": ((4, 4), (3, 3), (3, 4)),
    "ext": ((4, 4), (3, 4)),
    "world_mat": ((4, 4), (3, 4)),
    "scale_mat": ((4, 4),),
}
"""Shapes of the arrays, the usual one first."""


@dataclass(frozen=True)
class RoomCalibration:
    """Cameras of one scan by name; `scale` maps the normalised cube to the world, None where the file has none."""

    path: Path
    intrinsics: dict[str, Float[np.ndarray, "3 3"]]
    world_to_camera: dict[str, Float[np.ndarray, "4 4"]]
    scale: Float[np.ndarray, "4 4"] | None


def read_room_calibration(path: Path) -> RoomCalibration:
    """Read `int_i` (K) and `ext_i` (world to camera, metres) of each camera i, and `scale_mat_i` (one for all).

    Numbers may have leading zeros; K may be 3x3 or 3x4, transforms 3x4. `world_mat_i`, their product, is held against
    them, or is taken apart where a camera has nothing else. Cameras are named by two digits.

    Raises:
        HandsError: The file is none of these, or its numbers are no camera's.
    """
    try:
        arrays = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(
            f"{path}: expected a NumPy archive with int_i, ext_i, world_mat_i and scale_mat_i, found '{error}': "
            "export the calibration of the scan again."
        ) from error
    keys = _keys(path, arrays)
    indices = sorted({index for kind, index in keys if kind != "scale_mat"})
    if not indices:
        raise HandsError(
            f"{path}: expected arrays int_i and ext_i for each camera i, found "
            f"{', '.join(sorted(arrays)[:6]) or 'an empty archive'}: export the calibration under these names."
        )
    intrinsics, world_to_camera = {}, {}
    for index in indices:
        k, transform = _camera(path, arrays, keys, index)
        intrinsics[f"{index:02d}"], world_to_camera[f"{index:02d}"] = k[:3, :3], transform
    scales = [_matrix(path, arrays, key) for (kind, _), key in sorted(keys.items()) if kind == "scale_mat"]
    for scale in scales:
        if not np.allclose(scale, scales[0], atol=1e-6):
            raise HandsError(
                f"{path}: expected the same scale_mat_i for all cameras, found different ones: "
                "export the calibration with one normalised cube."
            )
    return RoomCalibration(path, intrinsics, world_to_camera, scales[0] if scales else None)


def _keys(path: Path, arrays: dict[str, np.ndarray]) -> dict[tuple[str, int], str]:
    """The array of each kind and camera."""
    keys: dict[tuple[str, int], str] = {}
    for key in sorted(arrays):
        match = re.fullmatch(r"(int|ext|world_mat|scale_mat)_([0-9]{1,9})", key)
        if match is None:
            continue
        found = (match[1], int(match[2]))
        if found in keys:
            raise HandsError(
                f"{path}: expected one array of camera {found[1]}, found {keys[found]} and {key}: remove one."
            )
        keys[found] = key
    return keys


def _camera(
    path: Path, arrays: dict[str, np.ndarray], keys: dict[tuple[str, int], str], index: int
) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4 4"]]:
    """K and the world-to-camera transform of a camera."""
    product = keys.get(("world_mat", index))
    names = {kind: keys.get((kind, index), f"{kind}_{index}") for kind in ("int", "ext")}
    if product is not None and not any((kind, index) in keys for kind in names):
        k, transform = _taken_apart(path, product, _matrix(path, arrays, product))
        check_intrinsics(path, f"K in {product}", k)
        check_rigid(path, f"the transform in {product}", transform, farthest=FARTHEST)
        return k, transform
    k, transform = (_matrix(path, arrays, name) for name in names.values())
    check_intrinsics(path, names["int"], k)
    check_rigid(path, names["ext"], transform, farthest=FARTHEST)
    if product is not None:
        _check_product(path, product, names, _matrix(path, arrays, product), k @ transform)
    return k, transform


def _taken_apart(
    path: Path, key: str, projection: Float[np.ndarray, "4 4"]
) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4 4"]]:
    """K and a world-to-camera transform whose product is a projection, up to its scale."""
    with np.errstate(all="ignore"):
        upper = projection[:3] * np.sign(np.linalg.det(projection[:3, :3]))
        k, rotation = cv2.RQDecomp3x3(upper[:, :3])[1:3]
        # An RQ decomposition is unique up to signs; focal lengths are positive.
        signs = np.diag(np.sign(np.diag(k)))
        k, rotation = k @ signs, signs @ rotation
        translation = np.linalg.solve(k, upper[:, 3]) if abs(np.linalg.det(k)) > 0 else np.full(3, np.nan)
        k = k / k[2, 2]
    if not (np.isfinite(k).all() and np.isfinite(translation).all()):
        raise HandsError(
            f"{path}: expected {key} to be K times a world-to-camera transform, found "
            f"{projection[:3].round(3).tolist()}: export int_i and ext_i as well."
        )
    intrinsics, transform = np.eye(4), np.eye(4)
    intrinsics[:3, :3] = k
    transform[:3, :3], transform[:3, 3] = rotation, translation
    return intrinsics, transform


def _matrix(path: Path, arrays: dict[str, np.ndarray], key: str) -> Float[np.ndarray, "4 4"]:
    if key not in arrays:
        raise HandsError(f"{path}: expected {key}, found no such array: export int_i and ext_i of every camera.")
    array, shapes = arrays[key], SHAPES[key.rpartition("_")[0]]
    if array.shape not in shapes or array.dtype.kind not in "fiu":
        raise HandsError(
            f"{path}: expected {key} to be a {' or '.join(f'{r}x{c}' for r, c in shapes)} matrix of numbers, found "
            f"shape {array.shape} of {array.dtype}: export the calibration as numbers."
        )
    if not np.isfinite(array).all():
        raise HandsError(
            f"{path}: expected finite numbers in {key}, found NaN or infinity: calibrate this camera again."
        )
    padded = np.eye(4)
    padded[: array.shape[0], : array.shape[1]] = array
    return padded


def _check_product(
    path: Path, key: str, names: dict[str, str], found: Float[np.ndarray, "4 4"], expected: Float[np.ndarray, "4 4"]
) -> None:
    # The factor is for files that store the product in float32.
    difference = np.abs(found - expected).max()
    if difference > 1e-5 * np.abs(expected).max():
        raise HandsError(
            f"{path}: expected {key} = {names['int']} @ {names['ext']}, found a difference of up to "
            f"{difference:.3g}: export all three from the same calibration, or leave {key} out."
        )
