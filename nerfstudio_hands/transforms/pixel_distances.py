"""How far pixels of a picture are from some of them."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool


def distance_to(pixels: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Euclidean distance in pixels from each pixel center to the nearest of `pixels`, infinite where there are none."""
    if not pixels.any():
        return np.full(pixels.shape, np.inf, dtype=np.float32)
    found = cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Roots of whole numbers, whose last bit hangs on where the memory of the picture lies: ties would change sides.
    return np.sqrt(np.rint(found * found))


def longest_side(pixels: Bool[np.ndarray, "H W"]) -> int:
    """Height or width of the box around some pixels, whichever is more."""
    return max(int(np.ptp(places)) for places in np.nonzero(pixels)) + 1


def distance_to_boundary(mask: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Pixels from each pixel center to the nearest pixel of the other value, less a half; far where there is none."""
    inside, outside = distance_to(~mask), distance_to(mask)
    return np.where(mask, inside, outside) - 0.5
