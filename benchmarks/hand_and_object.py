"""A hand, and what it holds, against the truth of a synthetic capture, in the figures of papers on hand and object.

Prints chamfer distance, F-scores, normal consistency and penetration of the fitted template and of the run's mesh, as
they are and after gSDF's alignment of hand to hand in scale and translation (Chen et al., CVPR 2023); and what the
truth itself reaches, sampled twice: the floor that the points leave. Only the hand counts, not the forearm.

    ns-hands synthesize capture-room --output room --num-cameras 8 --object mug
    ns-train hand-mesh --data room/1
    python benchmarks/hand_and_object.py --load-configs outputs/.../config.yml --truth room/truth
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

import tyro
from captures import SYNTHETIC
from recording import Recorded, record, short_path
from rich.table import Table
from run_meshes import SUBDIVIDED, TEMPLATE, hand_meshes, object_mesh
from synthetic_truth import near_hand, read_truth

from nerfstudio_hands.cli.trained_run import load_run
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_object_metrics import (
    HAND_THRESHOLDS,
    OBJECT_THRESHOLDS,
    PairScores,
    hand_object_scores,
)
from nerfstudio_hands.evaluation.mesh_file import read_mesh
from nerfstudio_hands.evaluation.point_metrics import NUM_SAMPLES, ShapeScores


@dataclass
class HandAndObject(Recorded):
    """Errors of a trained hand, and of an object, against the truth of the synthetic capture that it was trained on."""

    load_configs: Tuple[Path, ...]
    """config.yml of every run; the template is that of the first."""
    truth: Path
    """Folder `truth` of the capture."""
    object_mesh: Optional[Path] = None
    """The object as something else reconstructed it, a mesh in the capture's world, metres; by default that of the run,
    where it has one."""
    frame: int = 0
    """Frame that is compared."""
    num_samples: int = NUM_SAMPLES
    """Points on each surface. With gSDF's 30,000 the floor is far above errors of a tenth of a millimetre."""
    voxel: float = 0.5
    """Edge in millimetres of the voxels in which zero levels of `hand-sdf` are meshed."""


def main(args: HandAndObject) -> None:
    truth = read_truth(args.truth)
    true_hands, true_held = truth.hands(args.frame), truth.held(args.frame)
    given = None if args.object_mesh is None else read_mesh(args.object_mesh)
    table = Table(title=f"SYNTHETIC {short_path(args.truth.parent)}: {args.num_samples:,} points on each surface")
    for column in ("", *columns("hand", HAND_THRESHOLDS), *columns("object", OBJECT_THRESHOLDS)):
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    table.add_column("penetration mm", justify="right")
    table.add_column("cm3", justify="right")
    true_hand, scores = None, None
    for config in args.load_configs:
        run, pipeline = load_run(config)
        model, voxel = pipeline.model.eval(), args.voxel / 1000
        held_object = given or object_mesh(model, args.frame, voxel=voxel)
        if held_object is not None and true_held is None:
            raise HandsError(f"{args.truth}: expected a capture with an object, found none; leave out --object-mesh.")
        for name, hand in hand_meshes(model, args.frame, voxel=voxel).items():
            if name == SUBDIVIDED or (name == TEMPLATE and scores is not None):
                continue
            name = name if name == TEMPLATE else f"{run.method_name}, {name}"
            true_hand = near_hand(true_hands, hand) if true_hand is None else true_hand
            scores = hand_object_scores(
                hand, true_hand, held_object, None if held_object is None else true_held, num_samples=args.num_samples
            )
            table.add_row(name, *cells(scores.as_is))
            table.add_row(f"{name}, ICP (x {scores.alignment.scale:.4f})", *cells(scores.after_icp))
    table.add_row("truth, sampled twice", *cells(scores.floor))
    record(__file__, args, [table], notes=[SYNTHETIC])


def columns(part: str, thresholds: tuple[float, ...]) -> list[str]:
    return [f"{part} chamfer cm2", *(f"F@{threshold:g}" for threshold in thresholds), "normals"]


def cells(scores: PairScores) -> list[str]:
    found = shape_cells(scores.hand, HAND_THRESHOLDS) + shape_cells(scores.object, OBJECT_THRESHOLDS)
    if scores.penetration is None:
        return [*found, "", ""]
    return [*found, f"{scores.penetration.depth:.2f}", f"{scores.penetration.volume:.3f}"]


def shape_cells(scores: ShapeScores | None, thresholds: tuple[float, ...]) -> list[str]:
    if scores is None:
        return [""] * (len(thresholds) + 2)
    shares = [f"{scores.f_scores[threshold]:.4f}" for threshold in thresholds]
    return [f"{scores.chamfer:.5f}", *shares, f"{scores.normal_consistency:.4f}"]


if __name__ == "__main__":
    main(tyro.cli(HandAndObject))
