"""The masks of one image, by their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from nerfstudio_hands.fitting.silhouettes.mask_quality import MaskVerdict


@dataclass
class ImageMasks:
    """What says which pixels of an image show the hand; None for what there is not.

    Attributes:
        given: The capture's mask.
        inverted: Whether hands are black on white in it.
        verdict: What it is good for, as the fit sees it.
        segmented: The mask that the fit made in its place.
        held_object: Mask of what the hand holds.
        truth: True mask of a synthetic capture, for evaluations alone.
        training_scale: Size of the training's images over this one's, at most 1.
    """

    given: Path | None = None
    inverted: bool = False
    verdict: MaskVerdict = "useless"
    segmented: Bool[np.ndarray, "H W"] | None = None
    held_object: Path | None = None
    truth: Path | None = None
    training_scale: float = 1.0
