"""What a pinhole calibration must fulfil, whichever file it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError

ROTATION_TOLERANCE = 1e-3
"""Largest entry of R R^T - I that rounding in a calibration file explains (float32 and four printed digits)."""

LARGEST = 1e9
"""No number of a calibration is larger: not even of a kilometre in micrometres."""

FARTHEST = 1e5
"""Of a calibration that is taken to be in metres, those of one in millimetres among them."""

FOCAL_LENGTHS = (2.0, 1e6)
"""Pixels, of a picture of a hundred pixels and of a telescope's; K of a picture whose sides are 1 has less."""

MAX_STRETCH = 5.0
"""Times that one focal length is the other: widescreen lenses have 2."""

MAX_SIDE = 100_000
"""Pixels along a picture's side, and of the principal point, which cropping moves out of the picture."""


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
    check_rigid(path, f"the transform of camera {name}", world_to_camera, farthest=FARTHEST)


def check_intrinsics(path: Path, key: str, matrix: Float[np.ndarray, "4 4"]) -> None:
    """Raise HandsError unless a matrix of finite numbers is K of a camera with square axes, in pixels."""
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise HandsError(
            f"{path}: expected positive focal lengths in {key}, found {matrix[0, 0]:g} and {matrix[1, 1]:g}: "
            "use OpenCV axes (x right, y down, z forward)."
        )
    least, most = sorted((matrix[0, 0], matrix[1, 1]))
    if least < FOCAL_LENGTHS[0] or most > FOCAL_LENGTHS[1] or most > MAX_STRETCH * least:
        raise HandsError(
            f"{path}: expected focal lengths of {FOCAL_LENGTHS[0]:g} to {FOCAL_LENGTHS[1]:g} pixels in {key}, nearly "
            f"alike along x and y, found {matrix[0, 0]:g} and {matrix[1, 1]:g}: give K in pixels of the pictures."
        )
    if np.abs(matrix[:2, 2]).max() > MAX_SIDE:
        raise HandsError(
            f"{path}: expected the principal point in or near the picture in {key}, found ({matrix[0, 2]:g}, "
            f"{matrix[1, 2]:g}): give K in pixels of the pictures."
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


def check_rigid(
    path: Path,
    key: str,
    matrix: Float[np.ndarray, "4 4"],
    *,
    what: str = "world-to-camera",
    farthest: float = LARGEST,
) -> None:
    """Raise HandsError unless a matrix of finite numbers is rigid.

    Args:
        path: The file, to name.
        key: What the matrix is called there.
        matrix: With the translation in the last column.
        what: From where to where it leads.
        farthest: Translations, in the file's unit, that nothing can have.
    """
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
    if np.abs(matrix[:3, 3]).max() >= farthest:
        raise HandsError(
            f"{path}: expected a translation below {farthest:.0e} in {key}, found "
            f"{', '.join(f'{value:g}' for value in matrix[:3, 3])}: check its unit, which is the metre where no other "
            "is said."
        )
