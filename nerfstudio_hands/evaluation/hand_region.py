"""Which pixels of a held-out picture belong to the modelled hand.

The capture's mask, which also holds the forearm and the other hand, says where the hand is, and the fit, which is
judged, only where the wrist cuts it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from nerfstudio_hands.transforms.pixel_distances import distance_to, distance_to_boundary

FOREARM_SIDE = 2.0
"""A forearm leaves the hand at any angle, so what is equally near to a stub and to the hand before it is forearm."""


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
    coverage: Float[np.ndarray, "H W"],
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
        coverage: Part of each pixel that the true mask covers: hands and forearms.
        hand: Where the modelled hands project up to the wrist.
        stub: Where their ends behind the wrist project, hidden ones too. Beside the projected hand counts as hand what
            is further from them than `FOREARM_SIDE` times its distance from the hand, the rest as forearm.
        other: Where hands project that are not modelled; what is nearer to them is theirs.
        band: Pixels from the projected hands beyond which the mask shows other things; generous, or a finger that the
            fit has missed would not count.
        rim: Pixels on both sides of the mask's boundary that are unknown: a mask is a pixel or two off there, and a
            pixel shows hand and background.
    """
    shown = coverage > 0.5
    to_hand = distance_to(hand)
    before_wrist = hand | (FOREARM_SIDE * to_hand < distance_to(stub))
    of_hand = shown & before_wrist & (to_hand <= distance_to(other)) & (to_hand <= band)
    unknown = (distance_to_boundary(shown) < rim) | ((coverage > 0.01) & (coverage < 0.99))
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
