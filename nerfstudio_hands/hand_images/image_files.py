"""Pictures and masks of data sets from their files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from nerfstudio_hands.errors import HandsError

MASK_THRESHOLD = 128
"""Masks are JPEG in places, so that their edges take every value."""


def read_rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB.

    Raises:
        HandsError: It is not there or is no picture.
    """
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    except cv2.error:  # Its header claims more pixels than a memory holds.
        image = None
    if image is None:
        found = "a file that is no picture or is cut short" if path.is_file() else "no such file"
        raise HandsError(f"{path}: expected a picture, found {found}; unpack the data set again.")
    return np.ascontiguousarray(image[..., ::-1])


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Where the mask is bright; errors as of `read_rgb`."""
    return read_rgb(path)[..., 0] >= MASK_THRESHOLD
