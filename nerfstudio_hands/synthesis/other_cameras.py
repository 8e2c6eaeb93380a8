"""Pictures as another camera at the same place would have taken them."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from nerfstudio_hands.hand_images.crops import View, hand_box, turned_labels, view_of
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels

HALF = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
"""From pixels whose first center is at 0, as OpenCV counts, to ours."""


COARSE = 64
"""Pixels of a side at which it is blurred."""

BLUR = 0.05
"""Standard deviation by which what goes on beyond a picture is blurred, widths of a picture."""


def camera_toward(labels: HandLabels, intrinsics: Float[np.ndarray, "3 3"], size: tuple[int, int]) -> View:
    """A camera of a given K whose principal axis points to the middle of a hand."""
    return View(intrinsics, view_of(labels.intrinsics, hand_box(labels, *size), 64).rotation)


def sees_all(labels: HandLabels, view: View, size: tuple[int, int]) -> bool:
    """Whether all joints are in the camera's picture, whose width and height are given."""
    pixels = turned_labels(labels, view).pixels
    return bool((pixels > 0).all() and (pixels < size).all())


def retaken(picture: HandImage, view: View, size: tuple[int, int]) -> HandImage:
    """The picture through another camera; beyond its borders it goes on blurred.

    Args:
        picture: Of a hand.
        view: The camera.
        size: Width and height of its pictures.
    """
    matrix = np.linalg.inv(HALF) @ view.homography(picture.labels.intrinsics) @ HALF
    rgb = cv2.warpPerspective(picture.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(np.ones(picture.rgb.shape[:2], np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    coarse = cv2.resize(rgb, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), BLUR * COARSE), size, interpolation=cv2.INTER_LINEAR)
    rgb = np.where(seen[..., None] > 0, rgb, blurred)
    mask = picture.mask
    if mask is not None:
        mask = cv2.warpPerspective(mask.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR) > 0.5
    return HandImage(rgb, turned_labels(picture.labels, view), mask)
