"""Figures over many hands and what they hold, as gSDF's evaluation has them (Chen et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.evaluation.alignment import PUBLISHED
from nerfstudio_hands.evaluation.hand_object_metrics import (
    HAND_THRESHOLDS,
    OBJECT_THRESHOLDS,
    hand_object_scores,
    shape_figures,
)
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.evaluation.penetration import PUBLISHED_VOXEL
from nerfstudio_hands.evaluation.point_metrics import NUM_SAMPLES, shape_scores

MISSING_HAND, MISSING_OBJECT = "missing_hand", "missing_object"

JUDGED = {
    MISSING_HAND: tuple(f"f_hand_{threshold:g}mm" for threshold in HAND_THRESHOLDS),
    MISSING_OBJECT: tuple(f"f_object_{threshold:g}mm" for threshold in OBJECT_THRESHOLDS),
}
"""F-scores of what may be missing."""


def scene_figures(
    hand: Mesh | None,
    true_hand: Mesh,
    held: Mesh | None,
    true_held: Mesh | None,
    *,
    num_samples: int = NUM_SAMPLES,
) -> dict[str, float]:
    """Figures of one picture by name, see `HandObjectScores.figures`; none of a mesh that is not there.

    Stopping rule of the alignment and cells of the overlap are gSDF's. The alignment is the hand's: without a hand an
    object is judged only as it is.

    Args:
        hand: The predicted one; None where there is none.
        true_hand: The true one, in the same frame.
        held: The predicted object, likewise.
        true_held: The true object; None where the hand holds nothing.
        num_samples: Points on each surface.
    """
    found = {MISSING_HAND: float(hand is None)}
    if true_held is not None:
        found[MISSING_OBJECT] = float(held is None)
    pair = (held, true_held) if held is not None and true_held is not None else (None, None)
    if hand is not None:
        scores = hand_object_scores(
            hand, true_hand, *pair, num_samples=num_samples, rule=PUBLISHED, voxel=PUBLISHED_VOXEL
        )
        return found | scores.figures()
    if held is None or true_held is None:
        return found
    return found | shape_figures(
        "object", shape_scores(held, true_held, thresholds=OBJECT_THRESHOLDS, num_samples=num_samples)
    )


def mean_figures(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over pictures, as papers print them, which leave pictures without a mesh out; what is honest beside them.

    Beside each F-score stands, with ``_all``, the mean that counts a missing mesh as 0, and beside each Chamfer
    distance its median. `missing_hand` and `missing_object` are counts of pictures, `in_contact` is the share of those
    in which hand and object touch; what is known of no picture is left out.

    Args:
        figures: Of each picture, see `scene_figures`.
    """
    found = {}
    for name in sorted({name for one in figures for name in one}):
        values = np.array([one[name] for one in figures if np.isfinite(one.get(name, np.nan))])
        if name in JUDGED:
            found[name] = float(values.sum())
        elif len(values):
            found[name] = float(values.mean())
            if name.startswith("chamfer_") and not name.endswith("_floor"):
                found[f"{name}_median"] = float(np.median(values))
    for missing, names in JUDGED.items():
        asked = [one for one in figures if missing in one]
        for name in (f"{name}{suffix}" for name in names for suffix in ("", "_icp")) if asked else ():
            found[f"{name}_all"] = float(np.mean([one.get(name, 0.0) for one in asked]))
    return found


def mean_distance_cm(found: Float[np.ndarray, "*N 3"], truth: Float[np.ndarray, "*N 3"]) -> float:
    """Mean distance of points that are known, centimeters: gSDF's E_h of joints and E_o of centers; NaN of none."""
    distances = np.linalg.norm(found - truth, axis=-1)
    known = distances[np.isfinite(distances)]
    return 100 * float(known.mean()) if len(known) else float("nan")
