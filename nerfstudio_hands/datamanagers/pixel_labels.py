"""What is known of the pixels of one image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, UInt8


class MaskSource(IntEnum):
    """Where the mask of an image comes from."""

    CAPTURE = 0
    """The capture, or its fit."""
    GRABCUT = 1
    PROJECTION = 2
    """The projected hand alone."""
    NO_HAND = 3
    """There is none, because no hand is seen."""
    NO_IMAGE = 4
    """There is none, because the image is black or cannot be read."""


@dataclass
class PixelLabels:
    """Labels of an image.

    Attributes:
        label: A `labels.PixelLabel` each.
        mask: The mask, all false where it is unusable, with the object's.
        region: The hand, by which a prediction is judged.
        ignored: Pixels that say nothing about a prediction.
        inner: The part of the hand that the fit projects to.
        source: Where the mask comes from.
        doubtful: Pixels of which the mask says what another source contradicts, None where no other was asked.
    """

    label: UInt8[np.ndarray, "H W"]
    mask: Bool[np.ndarray, "H W"]
    region: Bool[np.ndarray, "H W"]
    ignored: Bool[np.ndarray, "H W"]
    inner: Bool[np.ndarray, "H W"]
    source: MaskSource
    doubtful: Bool[np.ndarray, "H W"] | None = None

    @staticmethod
    def without_region(
        label: UInt8[np.ndarray, "H W"], source: MaskSource, mask: Bool[np.ndarray, "H W"] | None = None
    ) -> PixelLabels:
        """Labels of an image that no figure is taken over."""
        none = np.zeros(label.shape, dtype=bool)
        return PixelLabels(label, none if mask is None else mask, none, none, none, source)
