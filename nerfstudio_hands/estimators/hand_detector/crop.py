"""Square, turned crops of pictures, in which the landmark network sees a hand with its fingers up."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

PALM_SCALE, PALM_SHIFT = 2.6, 0.5
"""Size of the crop round a whole hand in sizes of the palm's box, and how far it moves towards the fingers; the values
of MediaPipe's graphs (hand_landmark/palm_detection_detection_to_roi)."""

TRACKED_SCALE, TRACKED_SHIFT = 2.0, 0.1
"""The same from the box round the landmarks of palm and lower fingers (hand_landmark_landmarks_to_roi)."""

WRIST, INDEX, MIDDLE, RING = 0, 5, 9, 13
"""Landmarks of the wrist and of the lowest joints of three fingers."""

STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Landmarks whose box says where a hand is: those that move little when fingers bend."""

MAX_SHRINKING = 2.0
"""Pixels of the picture a pixel of the crop, beyond which bilinear samples would alias."""


@dataclass(frozen=True)
class Crop:
    """A square of a picture; continuous pixels, the centre of the upper left one being (0.5, 0.5).

    Attributes:
        center: Its middle.
        size: Its side in pixels.
        angle: Radians by which it is turned from upright, clockwise as seen.
    """

    center: Float[np.ndarray, " 2"]
    size: float
    angle: float

    @property
    def axes(self) -> Float[np.ndarray, "2 2"]:
        """Unit vectors to the right and down in the crop, as columns, in axes of the picture."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])

    def onto_image(self, points: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N 2"]:
        """Pixels of points given in [0, 1] across the crop."""
        return self.center + (points - 0.5) * self.size @ self.axes.T


def crop_of_palm(
    box: Float[np.ndarray, "2 2"], wrist: Float[np.ndarray, " 2"], middle: Float[np.ndarray, " 2"]
) -> Crop:
    """The crop of a whole hand from its palm.

    Args:
        box: Lower and upper corner of the palm's box, pixels.
        wrist: Pixel of the wrist.
        middle: Pixel of the middle finger's lowest joint.
    """
    angle = _upright_angle(wrist, middle)
    return _grown(box.mean(0), box[1] - box[0], angle, PALM_SCALE, PALM_SHIFT)


def crop_of_landmarks(pixels: Float[np.ndarray, "21 2"]) -> Crop:
    """The crop of a hand in the next picture, or of a closer look, from its landmarks."""
    angle = _upright_angle(pixels[WRIST], (pixels[INDEX] + pixels[RING]) / 4 + pixels[MIDDLE] / 2)
    axes = Crop(np.zeros(2), 1.0, angle).axes
    steady = pixels[list(STEADY)] @ axes
    low, high = steady.min(0), steady.max(0)
    return _grown(axes @ ((low + high) / 2), high - low, angle, TRACKED_SCALE, TRACKED_SHIFT)


def cut(image: UInt8[np.ndarray, "H W 3"], crop: Crop, size: int) -> Float[np.ndarray, "size size 3"]:
    """The crop as a picture of `size` pixels a side, in [0, 1]; outside of the picture its border goes on."""
    factor = int(crop.size / size) if crop.size / size >= MAX_SHRINKING else 1
    image, offset = _shrunk(image, crop, factor) if factor > 1 else (image, np.zeros(2))
    axes = crop.axes * crop.size / size / factor
    center = (crop.center - offset) / factor
    # OpenCV counts from the middle of the first pixel, in the crop and in the picture.
    origin = center + axes @ np.full(2, 0.5 - size / 2) - 0.5
    matrix = np.concatenate([axes, origin[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return pixels.astype(np.float32) / 255


def _upright_angle(wrist: Float[np.ndarray, " 2"], fingers: Float[np.ndarray, " 2"]) -> float:
    """How far the direction from the wrist to the fingers is turned from upright, in (-pi, pi]."""
    across, down = fingers - wrist
    return float(np.arctan2(across, -down))


def _grown(
    center: Float[np.ndarray, " 2"], sides: Float[np.ndarray, " 2"], angle: float, scale: float, shift: float
) -> Crop:
    """A square round a box, moved towards the fingers by a part of the box's height."""
    up = np.array([np.sin(angle), -np.cos(angle)])
    return Crop(center + shift * sides[1] * up, scale * float(sides.max()), angle)


def _shrunk(
    image: UInt8[np.ndarray, "H W 3"], crop: Crop, factor: int
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, " 2"]]:
    """The part of a picture round a crop, every `factor` pixels averaged, and where that part begins."""
    reach = crop.size * np.sqrt(0.5) + factor
    limits = np.array(image.shape[1::-1])
    low = np.clip((crop.center - reach).astype(int), 0, limits - factor)
    count = np.maximum((np.clip(crop.center + reach, low + factor, limits) - low).astype(int) // factor, 1)
    high = low + count * factor
    part = image[low[1] : high[1], low[0] : high[0]]
    return cv2.resize(part, tuple(count.tolist()), interpolation=cv2.INTER_AREA), low.astype(float)
