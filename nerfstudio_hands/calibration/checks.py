"""What a pinhole calibration must fulfil, whichever file it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError

ROTATION_TOLERANCE = 1e-3
"""Largest entry of R R^T - I that rounding in a calibration file explains (float32 and four printed digits)."""


def check_camera(
    path: Path, name: str, intrinsics: Float[np.ndarray, "4 4"], world_to_camera: Float[np.ndarray, "4 4"]
) -> None:
    """Raise HandsError unless a camera's numbers are finite, K one of square axes and its transform rigid."""
    if not (np.isfinite(intrinsics).all() and np.isfinite(world_to_camera).all()):
        raise HandsError(
            f"{path}: expected finite numbers for camera {name}, found NaN or infinity: calibrate it again or leave it "
            "out with --cameras."
        )
    check_intrinsics(path, f"K of camera {name}", intrinsics)
    check_rigid(path, f"the transform of camera {name}", world_to_camera)


def check_intrinsics(path: Path, key: str, matrix: Float[np.ndarray, "4 4"]) -> None:
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise HandsError(
            f"{path}: expected positive focal lengths in {key}, found {matrix[0, 0]:g} and {matrix[1, 1]:g}: "
            "use OpenCV axes (x right, y down, z forward)."
        )
    bottom = np.abs(matrix[2, :3] - (0, 0, 1)).max()
    if (
        bottom > 1e-6
        or max(abs(matrix[1, 0]), abs(matrix[0, 1])) > 1e-3 * matrix[0, 0]
        or np.abs(matrix[:3, 3]).max() > 1e-6
    ):
        raise HandsError(
            f"{path}: expected {key} to hold K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in its upper left 3x3, found "
            f"{matrix[:3].round(3).tolist()}: undistort the pictures to square pixel axes and export K again."
        )


def check_rigid(path: Path, key: str, matrix: Float[np.ndarray, "4 4"], *, what: str = "world-to-camera") -> None:
    rotation = matrix[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    determinant = np.linalg.det(rotation)
    if error > ROTATION_TOLERANCE or determinant < 0:
        raise HandsError(
            f"{path}: expected a rotation in the upper left 3x3 of {key}, found a matrix with "
            f"determinant {determinant:.4g} that is off orthonormal by {error:.2g}: "
            f"export the {what} transform without scale or mirror."
        )
    if np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise HandsError(
            f"{path}: expected the last row of {key} to be 0 0 0 1, found {matrix[3].tolist()}: "
            f"export the {what} transform, translation in the last column."
        )
