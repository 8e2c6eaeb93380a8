"""What stands for the place on the surface, texture coordinates, zero-pose position or both, and do seams show?

Trains `hand-uvnerf` with each on all frames of the same capture, one after the other, and prints the figures of the
held-out cameras, the training time (without start-up, fit and crops), and what the field does at the seams of the
texture atlas: the median difference of colour between the two sides of a seam, at the same point of the surface, beside
that between points 1 mm apart where there is no seam.

    python benchmarks/place_on_surface.py --data ../shared/captures/fmhr-demo/1 --eval-cameras 03 10
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import torch
import tyro
from captures import EvaluatedImages, cell, notes_on, present, title_of
from nerfstudio.engine.trainer import Trainer
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.fields.seams import seam_edges
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf

PLACES = ("uv", "canonical", "both")
COLUMNS = ("hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips", "psnr", "lpips", "mask_iou")
NEIGHBOR_MM = 1.0


@dataclass
class Ablation(Recorded):
    """Trains once for each place on the surface."""

    data: Path = Path("data/synthetic-hand/1")
    """Capture in a layout that we read."""
    eval_cameras: tuple[str, ...] = ()
    """Cameras to hold out; by default every seventh."""
    steps: int = hand_uvnerf.config.max_num_iterations
    """Training steps of each."""
    seam_loss_weight: float = hand_uvnerf.config.pipeline.model.seam_loss_weight
    """Weight of the difference of features across seams."""


def train(place: str, args: Ablation) -> tuple[Trainer, float]:
    """A trained trainer and the seconds that the training took."""
    config = copy.deepcopy(hand_uvnerf.config)
    config.data = config.pipeline.datamanager.data = args.data
    config.pipeline.datamanager.dataparser.eval_cameras = args.eval_cameras or None
    config.pipeline.model.position = place
    config.pipeline.model.seam_loss_weight = args.seam_loss_weight
    config.vis, config.output_dir = "tensorboard", Path(mkdtemp())
    config.experiment_name, config.timestamp = "ablation", place
    config.max_num_iterations = args.steps
    config.steps_per_save = config.steps_per_eval_batch = 10**9
    config.steps_per_eval_image = config.steps_per_eval_all_images = 10**9
    torch.manual_seed(0)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup(test_mode="val")
    start = time.monotonic()
    trainer.train()
    return trainer, time.monotonic() - start


@torch.no_grad()
def seam_difference(trainer: Trainer) -> tuple[float, float]:
    """Median colour difference (of 255) across seams, and between points of a face `NEIGHBOR_MM` apart."""
    model = trainer.pipeline.model
    surface = model.hands.surface
    posed = model.hands.at_pose(model.hands.pose_of(torch.tensor([0])))
    vertices = posed.surfaces.vertices

    def color(face: torch.Tensor, barycentric: torch.Tensor) -> torch.Tensor:
        points = (barycentric[..., None] * vertices[0, surface.faces[face]]).sum(1)
        zero = torch.zeros(len(face), dtype=torch.long)
        located, _ = model.locate(points, zero, face, barycentric, zero.float(), posed)
        geometry = model.field.geometry(located, posed.code.expand(len(face), -1))
        return model.field.radiance(located, geometry, -located.normal).color.clamp(0, 1) * 255

    face, corner = seam_edges(surface.faces, surface.uv)
    of_hand = surface.face_is_hand[face].all(dim=1)
    middles = [
        color(face[of_hand, side], torch.zeros(int(of_hand.sum()), 3).scatter_(1, corner[of_hand, side], 0.5))
        for side in range(2)
    ]
    seams = (middles[0] - middles[1]).abs().mean(-1)

    face = surface.face_is_hand.nonzero().flatten()
    corners = vertices[0][surface.faces[face]]
    center = torch.full((len(face), 3), 1 / 3)
    step = NEIGHBOR_MM / 1000 / (corners[:, 0] - corners.mean(1)).norm(dim=-1, keepdim=True).clamp(min=1e-6)
    moved = center + step * (torch.tensor([1.0, 0.0, 0.0]) - center)
    inside = (moved >= 0).all(-1)
    near = (color(face[inside], center[inside]) - color(face[inside], moved[inside])).abs().mean(-1)
    return float(seams.median()), float(near.median())


def main(args: Ablation) -> None:
    results, evaluated = {}, ""
    for place in PLACES:
        trainer, seconds = train(place, args)
        seam, near = seam_difference(trainer)
        figures = trainer.pipeline.get_average_eval_image_metrics()
        results[place] = {**figures, "train_seconds": seconds, "at_seams": seam, "apart": near}
        evaluated = EvaluatedImages.of_pipeline(trainer.pipeline).sentence(args.eval_cameras)
    columns = present(COLUMNS, results.values())
    table = Table(title=f"{title_of(args.data)}, {args.steps} steps each")
    for column in ("place", *columns, "training s", "at seams", f"{NEIGHBOR_MM:g} mm apart"):
        table.add_column(column, justify="right")
    for place, found in results.items():
        values = [cell(column, found.get(column)) for column in (*columns, "train_seconds")]
        table.add_row(place, *values, f"{found['at_seams']:.1f}", f"{found['apart']:.1f}")
    record(__file__, args, [table], notes=[evaluated, *notes_on(args.data)], figures=results)


if __name__ == "__main__":
    main(tyro.cli(Ablation))
