"""How well a hand and what it holds were reconstructed, in the figures that papers on hand and object report."""

from __future__ import annotations

from dataclasses import dataclass

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.alignment import THOROUGH, Alignment, StoppingRule, align_scale_and_translation
from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.evaluation.penetration import VOXEL, Penetration, penetration
from nerfstudio_hands.evaluation.point_metrics import NUM_SAMPLES, ShapeScores, shape_scores

HAND_THRESHOLDS, OBJECT_THRESHOLDS = (1.0, 5.0), (5.0, 10.0)
"""Millimetres of the F-scores that gSDF reports."""


@dataclass(frozen=True)
class PairScores:
    """A hand and its object against the truth, in one frame of reference."""

    hand: ShapeScores
    object: ShapeScores | None
    penetration: Penetration | None


@dataclass(frozen=True)
class HandObjectScores:
    """A hand, and where there is one its object, as they are and after the alignment of the hand."""

    as_is: PairScores
    after_icp: PairScores
    """The hand scaled and shifted onto the true hand, the object with it, as gSDF reports."""
    floor: PairScores
    """What the truth itself reaches, sampled twice; its penetration is that of the true surfaces."""
    alignment: Alignment

    def figures(self) -> dict[str, float]:
        """All figures by name: `chamfer_hand_cm2`, `f_hand_1mm`, `normals_hand`, likewise `object`,
        `penetration_depth_mm`, `penetration_volume_cm3`, `in_contact` (1 where the hand reaches into the object,
        as in Grasping Field's contact ratio); with `_icp` after the alignment, with `_floor` for the
        truth."""
        found = {}
        for suffix, pair in (("", self.as_is), ("_icp", self.after_icp), ("_floor", self.floor)):
            for part, scores in (("hand", pair.hand), ("object", pair.object)):
                if scores is not None:
                    found |= shape_figures(part, scores, suffix)
            if pair.penetration is not None:
                found[f"penetration_depth_mm{suffix}"] = pair.penetration.depth
                found[f"penetration_volume_cm3{suffix}"] = pair.penetration.volume
                found[f"in_contact{suffix}"] = float(pair.penetration.depth > 0)
        return found


def shape_figures(part: str, scores: ShapeScores, suffix: str = "") -> dict[str, float]:
    """Figures of a hand or an object by name, see `HandObjectScores.figures`."""
    found = {f"chamfer_{part}_cm2{suffix}": scores.chamfer, f"normals_{part}{suffix}": scores.normal_consistency}
    return found | {f"f_{part}_{threshold:g}mm{suffix}": value for threshold, value in scores.f_scores.items()}


def hand_object_scores(
    hand: Mesh,
    true_hand: Mesh,
    held: Mesh | None = None,
    true_held: Mesh | None = None,
    *,
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
    rule: StoppingRule = THOROUGH,
    voxel: float = VOXEL,
) -> HandObjectScores:
    """All figures of a hand and the object that it holds, with and without alignment, and their floor.

    Args:
        hand: The reconstructed hand.
        true_hand: The true one, in the same frame.
        held: The reconstructed object, where there is one.
        true_held: The true object.
        num_samples: Points on each surface.
        seed: Of their choice.
        rule: When the alignment stops.
        voxel: Edge of the cells by which overlap is measured, metres.

    Raises:
        HandsError: A surface or its region has no area, or only one of the two objects is given.
    """
    if (held is None) != (true_held is None):
        found = "the true one" if held is None else "the reconstructed one"
        raise HandsError(
            f"object: expected a reconstructed and a true object or neither, found only {found}; give both meshes."
        )

    def scores(hand: Mesh, held: Mesh | None) -> PairScores:
        return PairScores(
            shape_scores(hand, true_hand, thresholds=HAND_THRESHOLDS, num_samples=num_samples, seed=seed),
            None
            if held is None
            else shape_scores(held, true_held, thresholds=OBJECT_THRESHOLDS, num_samples=num_samples, seed=seed),  # pyright: ignore[reportArgumentType]
            None if held is None else penetration(hand, held, voxel=voxel),
        )

    alignment = align_scale_and_translation(hand, true_hand, num_samples=num_samples, seed=seed, rule=rule)
    return HandObjectScores(
        as_is=scores(hand, held),
        after_icp=scores(alignment(hand), None if held is None else alignment(held)),
        floor=scores(true_hand, true_held),
        alignment=alignment,
    )
