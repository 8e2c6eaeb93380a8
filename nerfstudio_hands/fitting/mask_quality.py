"""Which masks show the hands: a verdict from the share of the projected hands that a mask covers."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool

GOOD_COVERAGE = 0.96
HOLED_COVERAGE = 0.60
# Joints alone place the hands to within a few pixels, so that even a good mask misses some of them then.
GOOD_COVERAGE_BEFORE_REFINEMENT = 0.93
# The projection may be off by this share of the hands' extent before refinement; a rim that wide is left out of
# account.
RIM = 0.02


def mask_coverage(
    mask: Bool[np.ndarray, "H W"], silhouette: Bool[np.ndarray, "H W"], hidden: Bool[np.ndarray, "H W"] | None = None
) -> float:
    """Share of the projected hands, less a rim and what an object hides, that a mask covers; NaN where no hand projects
    into the picture."""
    rows, columns = np.nonzero(silhouette)
    if len(rows) == 0:
        return float("nan")
    extent = max(np.ptp(rows), np.ptp(columns))
    core = cv2.distanceTransform(silhouette.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > RIM * extent
    if hidden is not None:
        core &= ~hidden
    return float((mask & core).sum() / max(core.sum(), 1))


def mask_verdict(coverage: float) -> str:
    """ "good", "holes" (parts of the outline can be used) or "useless"."""
    if coverage >= GOOD_COVERAGE:
        return "good"
    return "holes" if coverage >= HOLED_COVERAGE else "useless"


def outline_weight(coverage: float) -> float:
    """How much the outline of a mask is worth while the hands are only fitted to joints: 1, one half with holes, 0."""
    if coverage >= GOOD_COVERAGE_BEFORE_REFINEMENT:
        return 1.0
    return 0.5 if coverage >= HOLED_COVERAGE else 0.0
