"""What each pixel of a training image shows.

Two sources are joined that fail in different ways: the mask of the capture, which also holds the forearm and the other
hand and sometimes has holes, and the projection of the fitted hand, which is a few pixels off but ends at the wrist.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

from nerfstudio_hands.hand_model.side_image import NO_SIDE
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.transforms.pixel_distances import distance_to


def training_labels(
    mask: Bool[np.ndarray, "H W"] | None,
    sides: Int[np.ndarray, "H W"],
    *,
    dilation: float,
    modeled_sides: Sequence[int],
    erosion: float = 4.0,
    margin: float = 3.0,
) -> UInt8[np.ndarray, "H W"]:
    """Says of each pixel whether it is background, hand, or takes no part in the losses.

    - hand: in the mask and within `dilation` of a projected modeled hand;
    - background: outside the mask and not well inside (by `erosion`) any projected hand;
    - no part: holes of the mask (outside it, yet well inside a projected hand); what the mask holds beyond the dilated
      projection (forearm, other hand, other things), with a `margin` round it; pixels in and round the projection of a
      hand that is not modeled and is nearer than the modeled one.

    Args:
        mask: The capture's mask, None where it is unusable: then only the pixels well inside the projected hand are
            known (hand), and all others take no part.
        sides: Side of the nearest hand at each pixel, `NO_SIDE` where none projects (`side_image`).
        dilation: Pixels by which the projection may be off. The band this adds past the wrist shows forearm; a `margin`
            of at least `dilation` removes it again.
        modeled_sides: Indices into `SIDES` of the hands that are trained.
        erosion: Pixels from the outline at which a projected hand is trusted more than the mask.
        margin: Pixels round forearm and other hand that take no part either.

    Returns:
        `PixelLabel.BACKGROUND`, `PixelLabel.HAND` or `PixelLabel.IGNORE` at each pixel.
    """
    modeled = np.isin(sides, list(modeled_sides))
    if mask is None:
        return np.where(distance_to(~modeled) > erosion, PixelLabel.HAND, PixelLabel.IGNORE).astype(np.uint8)
    other = (sides != NO_SIDE) & ~modeled
    to_modeled, to_other = distance_to(modeled), distance_to(other)
    well_inside = distance_to(~(modeled | other)) > erosion
    foreign = mask & (to_modeled > dilation)

    labels = np.where(mask, PixelLabel.HAND, PixelLabel.BACKGROUND).astype(np.uint8)
    labels[~mask & well_inside] = PixelLabel.IGNORE
    labels[distance_to(foreign) <= margin] = PixelLabel.IGNORE
    labels[(to_other <= dilation) & (to_other < to_modeled)] = PixelLabel.IGNORE
    return labels
