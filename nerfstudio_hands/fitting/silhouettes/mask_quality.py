"""Which masks show the hands: a verdict from the share of the projected hands, and of all else, that a mask covers."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool

from nerfstudio_hands.transforms.pixel_distances import distance_to

MaskVerdict = Literal["good", "holes", "useless"]
"""Of a mask with holes, parts of the outline can be used."""

GOOD_COVERAGE = 0.96
HOLED_COVERAGE = 0.60
# Joints alone place the hands to within a few pixels, so that even a good mask misses some of them then.
GOOD_COVERAGE_BEFORE_REFINEMENT = 0.93
# The projection may be off by this share of the hands' extent before refinement; a rim that wide is left out of
# account.
RIM = 0.02
# A mask that covers this share of what is no hand shows nothing; of the picture, this must be there to look at.
SPILT = 0.9
LOOKED_AT = 0.02


def mask_coverage(
    mask: Bool[np.ndarray, "H W"], silhouette: Bool[np.ndarray, "H W"], hidden: Bool[np.ndarray, "H W"] | None = None
) -> float:
    """Share of the projected hands, less a rim and what an object hides, that a mask covers; NaN where no hand projects
    into the picture."""
    rows, columns = np.nonzero(silhouette)
    if len(rows) == 0:
        return float("nan")
    extent = max(np.ptp(rows), np.ptp(columns))
    core = distance_to(~silhouette) > RIM * extent
    if hidden is not None:
        core &= ~hidden
    return float((mask & core).sum() / max(core.sum(), 1))


def mask_spills(mask: Bool[np.ndarray, "H W"], silhouette: Bool[np.ndarray, "H W"]) -> bool:
    """Whether a mask covers nearly all that is no hand, too, and so shows nothing: one that is white all over.

    Looked at is what lies half a hand away, where a forearm or another hand is small; in a picture that the hand fills,
    all beside the rim of the hand.
    """
    rows, columns = np.nonzero(silhouette)
    if len(rows) == 0:
        return bool(mask.mean() > SPILT)
    extent = max(np.ptp(rows), np.ptp(columns))
    away = distance_to(silhouette)
    beside = [away > share * extent for share in (0.5, RIM)]
    looked_at = next((area for area in beside if area.mean() > LOOKED_AT), None)
    return looked_at is not None and bool(mask[looked_at].mean() > SPILT)


def mask_verdict(coverage: float) -> MaskVerdict:
    """What a mask of this coverage is good for; of one whose coverage is NaN, nothing."""
    if coverage >= GOOD_COVERAGE:
        return "good"
    return "holes" if coverage >= HOLED_COVERAGE else "useless"


def boundary_weight(coverage: float) -> float:
    """How much the outline of a mask is worth while the hands are only fitted to joints: 1, one half with holes, 0."""
    if coverage >= GOOD_COVERAGE_BEFORE_REFINEMENT:
        return 1.0
    return 0.5 if coverage >= HOLED_COVERAGE else 0.0
