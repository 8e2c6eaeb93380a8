"""Lens distortion, and pictures and pixels without it; pixel centres lie at +0.5, as everywhere here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.transforms.projection import PIXEL_CENTER

OPENCV_LENGTHS = (4, 5, 8, 12, 14)
"""Numbers that OpenCV's polynomial model may have: k1 k2 p1 p2, k3, k4 k5 k6, s1 to s4, two angles of the sensor."""

FISHEYE_LENGTH = 4

WIDEST = float(np.tan(np.radians(60)))
"""A pinhole picture goes at most this far from the optical axis (tangent): beyond 60 degrees it is stretched rim."""

EDGE_POINTS = 65
"""Points along each edge of a picture that say where its rim goes."""

NO_RAY_PIXELS = 0.1
"""Pixels by which a ray may miss the pixel that it was found for."""

_ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12)


@dataclass(frozen=True)
class Lens:
    """What a lens does to the directions of rays before K makes pixels of them.

    Attributes:
        model: "opencv", the polynomial and rational model of `cv2.projectPoints`, or "fisheye", that of
            `cv2.fisheye.projectPoints` (both in OpenCV's module calib3d; the first is Brown's).
        coefficients: k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tx ty]]]], or k1 k2 k3 k4.
    """

    model: Literal["opencv", "fisheye"]
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = OPENCV_LENGTHS if self.model == "opencv" else (FISHEYE_LENGTH,)
        if len(self.coefficients) not in lengths:
            raise ValueError(f"expected {lengths} coefficients of a {self.model} lens, found {len(self.coefficients)}")

    @property
    def distorts(self) -> bool:
        """Whether pictures have to be undistorted: a fisheye lens without coefficients is no pinhole either."""
        return self.model == "fisheye" or any(self.coefficients)


def undistorted_camera(
    intrinsics: Float[np.ndarray, "3 3"], lens: Lens | None, size: tuple[int, int]
) -> Float[np.ndarray, "3 3"]:
    """K of the pinhole camera for pictures that `undistort` makes: of the same size, and every pixel of them was seen.

    It is the widest such camera (OpenCV's alpha of 0): no black border, which would read as background, and a narrow
    rim of the picture is lost instead. Both axes are zoomed alike. Beyond 60 degrees from the axis all is lost.

    Args:
        intrinsics: K of the pictures as they are.
        lens: Their lens; None for none.
        size: Width and height in pixels.
    """
    if lens is None or not lens.distorts:
        return np.array(intrinsics, dtype=np.float64)
    width, height = size
    left, top, right, bottom = _seen_rectangle(intrinsics, lens, size)
    aspect = intrinsics[0, 0] / intrinsics[1, 1]
    focal = max(width / (right - left), aspect * height / (bottom - top))
    new = np.eye(3)
    new[0, 0], new[1, 1] = focal, focal / aspect
    # The picture's middle looks where the middle of the rectangle lies, as it may then be widest.
    new[:2, 2] = np.array(size) / 2 - np.array([new[0, 0] * (left + right), new[1, 1] * (top + bottom)]) / 2
    return new


def undistort_points(
    pixels: Float[np.ndarray, "*N 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    lens: Lens | None,
    new_intrinsics: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "*N 2"]:
    """Pixels of a pinhole camera for pixels of the picture as it is; NaN stays NaN, and where no ray is, NaN comes.

    Args:
        pixels: In the distorted picture.
        intrinsics: K of the distorted picture.
        lens: Its lens.
        new_intrinsics: K of the pinhole camera, of `undistorted_camera`.
    """
    rays = normalized_points(pixels, intrinsics, lens)
    return rays @ new_intrinsics[:2, :2].T + new_intrinsics[:2, 2]


def normalized_points(
    pixels: Float[np.ndarray, "*N 2"], intrinsics: Float[np.ndarray, "3 3"], lens: Lens | None
) -> Float[np.ndarray, "*N 2"]:
    """Directions (x/z, y/z) of the rays of pixels, distortion undone; NaN where there is none."""
    flat = np.array(pixels, dtype=np.float64).reshape(-1, 1, 2)
    if lens is None:
        directions = (flat[:, 0] - intrinsics[:2, 2]) @ np.linalg.inv(intrinsics[:2, :2]).T
        return directions.reshape(pixels.shape)
    finite = np.isfinite(flat).all(axis=(1, 2))
    result = np.full((len(flat), 2), np.nan)
    if finite.any():
        result[finite] = _undistorted(flat[finite], np.array(intrinsics, dtype=np.float64), lens)
    return result.reshape(pixels.shape)


def undistort(
    image: UInt8[np.ndarray, "H W *channels"],
    intrinsics: Float[np.ndarray, "3 3"],
    lens: Lens | None,
    new_intrinsics: Float[np.ndarray, "3 3"],
    *,
    labels: bool = False,
) -> UInt8[np.ndarray, "H W *channels"]:
    """The picture that a pinhole camera would have taken; linear between pixels.

    Args:
        image: As the lens made it.
        intrinsics: Its K.
        lens: Its lens.
        new_intrinsics: K of the pinhole camera, of `undistorted_camera`.
        labels: Whether pixels are labels or masks, of which the nearest is taken.
    """
    if lens is None or not lens.distorts:
        return image
    size = (image.shape[1], image.shape[0])
    maps = _maps(intrinsics.astype(np.float64).tobytes(), lens, new_intrinsics.astype(np.float64).tobytes(), size)
    method = cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR
    # Half of the outermost pixels lies beyond their centres; it has their color.
    return cv2.remap(image, *maps, interpolation=method, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=16)
def _maps(intrinsics: bytes, lens: Lens, new_intrinsics: bytes, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel comes from, for `cv2.remap`, whose pixel centres lie at 0; kept for the frames of a video."""
    old, new = (np.frombuffer(values).reshape(3, 3).copy() for values in (intrinsics, new_intrinsics))
    old[:2, 2] -= PIXEL_CENTER
    new[:2, 2] -= PIXEL_CENTER
    make = cv2.initUndistortRectifyMap if lens.model == "opencv" else cv2.fisheye.initUndistortRectifyMap
    first, second = make(old, np.array(lens.coefficients), np.eye(3), new, size, cv2.CV_32FC1)
    return first, second


def _undistorted(
    pixels: Float[np.ndarray, "N 1 2"], intrinsics: Float[np.ndarray, "3 3"], lens: Lens
) -> Float[np.ndarray, "N 2"]:
    coefficients = np.array(lens.coefficients)
    if lens.model == "fisheye":
        rays = cv2.fisheye.undistortPoints(pixels, intrinsics, coefficients, criteria=_ITERATIONS)[:, 0]
        # OpenCV marks what it cannot undo by a huge number.
        return np.where(np.abs(rays).max(axis=1, keepdims=True) < 1e5, rays, np.nan)
    rays = cv2.undistortPointsIter(pixels, intrinsics, coefficients, np.eye(3), np.eye(3), _ITERATIONS)[:, 0]
    # A polynomial that turns back has pixels without a ray, for which OpenCV gives any.
    error = np.abs(_projected(rays, lens) @ intrinsics[:2, :2].T + intrinsics[:2, 2] - pixels[:, 0])
    return np.where(error.max(axis=1, keepdims=True) < NO_RAY_PIXELS, rays, np.nan)


def _projected(rays: Float[np.ndarray, "N 2"], lens: Lens) -> Float[np.ndarray, "N 2"]:
    """Where a lens moves directions (x/z, y/z)."""
    points = np.append(rays, np.ones((len(rays), 1)), axis=1)[:, None]
    project = cv2.projectPoints if lens.model == "opencv" else cv2.fisheye.projectPoints
    return project(points, np.zeros(3), np.zeros(3), np.eye(3), np.array(lens.coefficients))[0][:, 0]


def _turning_radius(lens: Lens) -> float:
    """Tangent of the angle from the axis at which what is farther out begins to be drawn farther in, at most
    `WIDEST`."""
    radii = np.linspace(0.0, WIDEST, 500)
    drawn = np.linalg.norm(_projected(np.stack([radii, radii], axis=1) / np.sqrt(2), lens), axis=1)
    turns = np.flatnonzero(np.diff(drawn) <= 0)
    return float(radii[turns[0]]) if len(turns) else WIDEST


def _seen_rectangle(
    intrinsics: Float[np.ndarray, "3 3"], lens: Lens, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of directions (x/z, y/z) that lie within the picture all around."""
    along = np.linspace(0.0, 1.0, EDGE_POINTS)
    zeros, ones = np.zeros(EDGE_POINTS), np.ones(EDGE_POINTS)
    sides = ((zeros, along), (along, zeros), (ones, along), (along, ones))
    edges = np.stack([np.stack(side, axis=-1) for side in sides])
    rays = normalized_points(edges * np.array(size, dtype=np.float64), intrinsics, lens)
    # Where the lens cannot be undone, the picture reaches as far as any pinhole picture does.
    signs = np.array([-1.0, -1.0, 1.0, 1.0])
    reached = rays[np.arange(4), :, [0, 1, 0, 1]] * signs[:, None]
    farthest = _turning_radius(lens)
    reached = np.where(np.isfinite(reached) & (reached > 0), reached, farthest).clip(max=farthest)
    left, top, right, bottom = reached.min(axis=1) * signs
    return left, top, right, bottom
