"""Where the error of held-out pictures lies: what the model leaves empty, along the outline, or inside the hand.

A surface with a sharp outline leaves pixels empty where camera or pose is off by a pixel or two; a soft shell covers
them with some colour of skin. Inside the hand only colour and detail count.

    python benchmarks/error_shares.py --load-configs outputs/.../hand-mesh/.../config.yml outputs/.../config.yml
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from captures import EvaluatedImages, notes_on, title_of
from jaxtyping import Bool, Float, UInt8
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image
from recording import Recorded, record
from rich.table import Table
from torch import Tensor

from nerfstudio_hands.evaluation.color_calibration import calibrate_colors
from nerfstudio_hands.evaluation.image_metrics import COVERED

BAND = 4
"""Pixels inside the hand region's outline that count as along it."""

MARGIN = 12
"""Pixels round the hands that an error map shows."""


@dataclass
class ErrorShares(Recorded):
    """Compares runs on the same held-out pictures, colours calibrated."""

    load_configs: Tuple[Path, ...]
    """config.yml of each run."""
    sheet: Optional[Path] = None
    """Picture to write: a row for each held-out picture, a column for each run; red where the hand is left empty, blue
    what is drawn beside it, elsewhere four times the error."""


@torch.no_grad()
def main(args: ErrorShares) -> None:
    table, notes, maps = Table(), [], {}
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
            beside = (accumulation > COVERED) & ~region & ~batch["hand_ignored"][..., 0].bool().cpu()
            maps.setdefault(int(batch["image_idx"]), []).append(error_map(error, region, covered, beside))
            table.add_row(
                f"{config.experiment_name} {config.method_name}",
                data.image_filenames[int(batch["image_idx"])].name,
                f"{decibels(error[region]):.2f}",
                *(f"{share:.0%}" for share in shares),
                f"{decibels(error[inside]):.2f}",
                f"{float(parts[0].sum() / region.sum()):.2%}",
            )
    record(__file__, args, [table], notes=notes)
    if args.sheet is not None:
        rows = [np.concatenate(row, axis=1) for row in maps.values()]
        width = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        Image.fromarray(np.concatenate(rows)).save(args.sheet, quality=90)


def error_map(
    error: Float[Tensor, "H W"], region: Bool[Tensor, "H W"], covered: Bool[Tensor, "H W"], beside: Bool[Tensor, "H W"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Four times the error of a picture (root of its mean square over channels), cut round its hands."""
    shown = (4 * error.sqrt() * region).clamp(max=1)[..., None].repeat(1, 1, 3)
    shown[region & ~covered], shown[beside] = torch.tensor([1.0, 0, 0]), torch.tensor([0.2, 0.4, 1.0])
    rows, columns = (region.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    top, left = (max(int(places[0]) - MARGIN, 0) for places in (rows, columns))
    cut = shown[top : int(rows[-1]) + MARGIN, left : int(columns[-1]) + MARGIN]
    return (cut * 255).round().byte().numpy()


def shrunk(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """The region without what lies within `BAND` pixels of its outline."""
    outside = (~region).float()[None, None]
    return F.max_pool2d(outside, 2 * BAND + 1, stride=1, padding=BAND)[0, 0] == 0


def decibels(error: Tensor) -> float:
    return float(-10 * torch.log10(error.mean()))


if __name__ == "__main__":
    main(tyro.cli(ErrorShares))
