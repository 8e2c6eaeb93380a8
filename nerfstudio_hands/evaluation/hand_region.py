"""Which pixels of a picture belong to the modelled hand, for evaluation and for training.

Both answers join two sources that fail in different ways: the mask of the capture, which also holds the forearm and the
other hand and sometimes has holes, and the projection of the fitted hand, which is a few pixels off but ends at the
wrist. For evaluation the mask says where the hand is and the fit, which is judged, only where the wrist cuts it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

BACKGROUND, HAND, NO_PART, OBJECT = 0, 1, 2, 3
"""Values of a training label: empty space, hand, pixels that take no part in any loss, and what the hand holds, behind
which nothing is known of the hand."""

OUTLINE = 3
"""Pixels from hand to background, at most, over which labels leave open where the outline is, and the mask is asked."""

FOREARM_SIDE = 2.0
"""A forearm leaves the hand at any angle, so what is equally near to a stub and to the hand before it is forearm."""

NO_SIDE = -1
"""Value of a side image where no hand projects."""


def side_image(
    face: Int[Tensor, "H W"], face_side: Int[Tensor, " F"], face_is_hand: Bool[Tensor, " F"] | None = None
) -> Int[np.ndarray, "H W"]:
    """Turns a picture of face indices into a picture of hand sides.

    Args:
        face: Index of the nearest face at each pixel, -1 where there is none (`geometry.rasterize`). Indices from F on
            are the faces that close the wrist; they count as no hand, because what a camera sees there is the forearm.
        face_side: Side of each face of the surface, an index into `SIDES`.
        face_is_hand: False for faces behind the wrist, which count as no hand either; None where all are.

    Returns:
        The side at each pixel, `NO_SIDE` where no hand projects.
    """
    known = face.clamp(0, len(face_side) - 1)
    is_hand = (face >= 0) & (face < len(face_side))
    if face_is_hand is not None:
        is_hand &= face_is_hand.to(face.device)[known]
    sides = face_side.to(face.device)[known].to(face.dtype)
    return sides.where(is_hand, sides.new_tensor(NO_SIDE)).cpu().numpy()


@dataclass(frozen=True)
class EvaluationRegion:
    """What the pixels of a held-out picture say about a prediction.

    Attributes:
        region: Pixels that show the modelled hand.
        ignored: Pixels that say nothing: forearm, other hand, held object, and a thin rim on both sides of the mask's
            boundary. All others are background, and whatever is drawn there is wrong.
    """

    region: Bool[np.ndarray, "H W"]
    ignored: Bool[np.ndarray, "H W"]


def evaluation_region(
    share: Float[np.ndarray, "H W"],
    *,
    hand: Bool[np.ndarray, "H W"],
    stub: Bool[np.ndarray, "H W"],
    other: Bool[np.ndarray, "H W"],
    band: float,
    rim: float,
) -> EvaluationRegion:
    """Cuts the true mask at the wrist, and nowhere else: a hand that is drawn too thin, too thick or in another place
    loses against the whole mask.

    Args:
        share: Part of each pixel that the true mask covers: hands and forearms.
        hand: Where the modelled hands project up to the wrist.
        stub: Where their ends behind the wrist project, hidden ones too. Beside the projected hand counts as hand what
            is further from them than `FOREARM_SIDE` times its distance from the hand, the rest as forearm.
        other: Where hands project that are not modelled; what is nearer to them is theirs.
        band: Pixels from the projected hands beyond which the mask shows other things; generous, or a finger that the
            fit has missed would not count.
        rim: Pixels on both sides of the mask's boundary that are unknown: a mask is a pixel or two off there, and a
            pixel shows hand and background.
    """
    shown = share > 0.5
    to_hand = distance_to(hand)
    before_wrist = hand | (FOREARM_SIDE * to_hand < distance_to(stub))
    of_hand = shown & before_wrist & (to_hand <= distance_to(other)) & (to_hand <= band)
    unknown = (distance_to_boundary(shown) < rim) | ((share > 0.01) & (share < 0.99))
    return EvaluationRegion(region=of_hand & ~unknown, ignored=(shown & ~of_hand) | unknown)


def inner_region(
    mask: Bool[np.ndarray, "H W"], sides: Int[np.ndarray, "H W"], modelled_sides: Sequence[int]
) -> Bool[np.ndarray, "H W"]:
    """True mask where the posed, undilated, modelled hand projects: what the fit misses of the hand is left out, so
    that figures over it speak of colours alone.

    Args:
        mask: The capture's mask.
        sides: Side of the nearest hand at each pixel, `NO_SIDE` where none projects (`side_image`).
        modelled_sides: Indices into `SIDES` of the hands that the model shows.
    """
    return mask & np.isin(sides, list(modelled_sides))


def training_labels(
    mask: Bool[np.ndarray, "H W"] | None,
    sides: Int[np.ndarray, "H W"],
    *,
    dilation: float,
    modelled_sides: Sequence[int],
    erosion: float = 4.0,
    margin: float = 3.0,
) -> UInt8[np.ndarray, "H W"]:
    """Says of each pixel whether it is background, hand, or takes no part in the losses.

    - hand: in the mask and within `dilation` of a projected modelled hand;
    - background: outside the mask and not well inside (by `erosion`) any projected hand;
    - no part: holes of the mask (outside it, yet well inside a projected hand); what the mask holds beyond the dilated
      projection (forearm, other hand, other things), with a `margin` round it; pixels in and round the projection of a
      hand that is not modelled and is nearer than the modelled one.

    Args:
        mask: The capture's mask, None where it is unusable: then only the pixels well inside the projected hand are
            known (hand), and all others take no part.
        sides: Side of the nearest hand at each pixel, `NO_SIDE` where none projects (`side_image`).
        dilation: Pixels by which the projection may be off. The band this adds past the wrist shows forearm; a `margin`
            of at least `dilation` removes it again.
        modelled_sides: Indices into `SIDES` of the hands that are trained.
        erosion: Pixels from the outline at which a projected hand is trusted more than the mask.
        margin: Pixels round forearm and other hand that take no part either.

    Returns:
        `BACKGROUND`, `HAND` or `NO_PART` at each pixel.
    """
    modelled = np.isin(sides, list(modelled_sides))
    if mask is None:
        return np.where(distance_to(~modelled) > erosion, HAND, NO_PART).astype(np.uint8)
    other = (sides != NO_SIDE) & ~modelled
    to_modelled, to_other = distance_to(modelled), distance_to(other)
    well_inside = distance_to(~(modelled | other)) > erosion
    foreign = mask & (to_modelled > dilation)

    labels = np.where(mask, HAND, BACKGROUND).astype(np.uint8)
    labels[~mask & well_inside] = NO_PART
    labels[distance_to(foreign) <= margin] = NO_PART
    labels[(to_other <= dilation) & (to_other < to_modelled)] = NO_PART
    return labels


def distance_to(pixels: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Euclidean distance in pixels from each pixel centre to the nearest of `pixels`, infinite where there are none."""
    if not pixels.any():
        return np.full(pixels.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def distance_to_boundary(mask: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Pixels from each pixel centre to the nearest pixel of the other value, less a half; far where there is none."""
    inside, outside = (
        cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (mask, ~mask)
    )
    return np.maximum(inside, outside) - 0.5
