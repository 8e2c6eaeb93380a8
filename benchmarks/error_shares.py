"""Where the error of held-out pictures lies: what the model leaves empty, along the outline, or inside the hand.

A surface with a sharp outline leaves pixels empty where camera or pose is off by a pixel or two; a soft shell covers
them with some colour of skin. Inside the hand only colour and detail count.

    python benchmarks/error_shares.py --load-configs outputs/.../hand-mesh/.../config.yml outputs/.../config.yml
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import torch
import torch.nn.functional as F
import tyro
from captures import EvaluatedImages, notes_on, title_of
from jaxtyping import Bool
from nerfstudio.utils.eval_utils import eval_setup
from recording import Recorded, record
from rich.table import Table
from torch import Tensor

from nerfstudio_hands.evaluation.color_calibration import calibrate_colors
from nerfstudio_hands.evaluation.image_metrics import COVERED

BAND = 4
"""Pixels inside the hand region's outline that count as along it."""


@dataclass
class ErrorShares(Recorded):
    """Compares runs on the same held-out pictures, colours calibrated."""

    load_configs: Tuple[Path, ...]
    """config.yml of each run."""


@torch.no_grad()
def main(args: ErrorShares) -> None:
    table, notes = Table(), []
    for column in ("run", "picture", "PSNR", "empty", "along the outline", "inside", "PSNR inside", "pixels empty"):
        table.add_column(column, overflow="fold")
    for path in args.load_configs:
        config, pipeline, _, _ = eval_setup(path, test_mode="test")
        data, capture = pipeline.datamanager.eval_dataset, config.pipeline.datamanager.data
        table.title = f"{title_of(capture)}: squared error of the hand region, colours calibrated"
        sentence = EvaluatedImages.of_pipeline(pipeline).sentence(config.pipeline.datamanager.dataparser.eval_cameras)
        notes += [note for note in (sentence, *notes_on(capture)) if note not in notes]
        for camera, batch in pipeline.datamanager.fixed_indices_eval_dataloader:
            outputs = pipeline.model.get_outputs_for_camera(camera=camera)
            region = batch["hand_region"][..., 0].bool().cpu()
            truth, accumulation = batch["image"].cpu(), outputs["accumulation"][..., 0].cpu()
            covered = region & (accumulation > COVERED)
            shown = calibrate_colors(outputs["radiance"].cpu(), truth, covered, accumulation)
            error = (shown - truth).square().mean(dim=-1)
            inside = shrunk(region) & covered
            parts = [region & ~covered, covered & ~inside, inside]
            shares = [float(error[part].sum() / error[region].sum()) for part in parts]
            table.add_row(
                f"{config.experiment_name} {config.method_name}",
                data.image_filenames[int(batch["image_idx"])].name,
                f"{decibels(error[region]):.2f}",
                *(f"{share:.0%}" for share in shares),
                f"{decibels(error[inside]):.2f}",
                f"{float(parts[0].sum() / region.sum()):.2%}",
            )
    record(__file__, args, [table], notes=notes)


def shrunk(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """The region without what lies within `BAND` pixels of its outline."""
    outside = (~region).float()[None, None]
    return F.max_pool2d(outside, 2 * BAND + 1, stride=1, padding=BAND)[0, 0] == 0


def decibels(error: Tensor) -> float:
    return float(-10 * torch.log10(error.mean()))


if __name__ == "__main__":
    main(tyro.cli(ErrorShares))
