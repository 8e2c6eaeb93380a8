"""Figures over many hands and what they hold, as gSDF's evaluation has them (Chen et al., CVPR 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.evaluation.hand_object_metrics import hand_object_scores
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.evaluation.point_metrics import NUM_SAMPLES

MISSING_HAND, MISSING_OBJECT = "missing_hand", "missing_object"


def scene_figures(
    hand: Mesh | None,
    true_hand: Mesh,
    held: Mesh | None,
    true_held: Mesh | None,
    *,
    num_samples: int = NUM_SAMPLES,
) -> dict[str, float]:
    """Figures of one picture by name, see `HandObjectScores.figures`; none of a mesh that is not there.

    The alignment is the hand's: without a hand the object has none either.

    Args:
        hand: The predicted one; None where there is none.
        true_hand: The true one, in the same frame.
        held: The predicted object, likewise.
        true_held: The true object; None where the hand holds nothing.
        num_samples: Points on each surface.
    """
    missing = {MISSING_HAND: float(hand is None), MISSING_OBJECT: float(held is None and true_held is not None)}
    if hand is None:
        return missing
    pair = (held, true_held) if held is not None and true_held is not None else (None, None)
    return missing | hand_object_scores(hand, true_hand, *pair, num_samples=num_samples).figures()


def mean_figures(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over pictures, as papers print them, which leave pictures without a mesh out; what is honest beside them.

    Beside each mean of F-scores stands, with ``_all``, that which counts a missing mesh as 0, and beside each Chamfer
    distance its median.

    Args:
        figures: Of each picture, see `scene_figures`.
    """
    names = sorted({name for one in figures for name in one})
    found = {}
    for name in names:
        values = np.array([one.get(name, math.nan) for one in figures])
        if name in (MISSING_HAND, MISSING_OBJECT):
            found[name] = float(values.sum())
            continue
        found[name] = float(np.nanmean(values))
        if name.startswith("f_") and not name.endswith("_floor"):
            found[f"{name}_all"] = float(np.nan_to_num(values).mean())
        if name.startswith("chamfer_") and not name.endswith("_floor"):
            found[f"{name}_median"] = float(np.nanmedian(values))
    return found


def mean_distance_cm(found: Float[np.ndarray, "*N 3"], truth: Float[np.ndarray, "*N 3"]) -> float:
    """Mean distance of points that are known, centimeters: gSDF's E_h of joints and E_o of centers."""
    return 100 * float(np.nanmean(np.linalg.norm(found - truth, axis=-1)))
