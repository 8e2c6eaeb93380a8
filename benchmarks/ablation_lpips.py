"""Both warps, with and without LPIPS: one table of held-out views, held-out poses, and both.

Every row is two commands, printed before they run: `ns-train` with the options of the row, and `ns-eval`; the table has
the seconds of each, start-up included, without fit and crops, which rows share. All rows see the same pictures for the
same number of steps from the same seed. "mse" is the squared error alone, "huber" what the
methods use by default, "+lpips" either with LPIPS (VGG) on patches after a warm-up.

    ns-hands synthesize interhand --output ih --num-cameras 8 --frames 60
    python benchmarks/ablation_lpips.py --data ih --steps 5000
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal, Optional, Tuple

import tyro
from captures import EvaluatedImages, cell, notes_on, present, title_of
from recording import Recorded, record
from rich.table import Table
from trained_rows import train_and_evaluate

METHODS = {
    "hand-uvnerf": ["hand-uvnerf"],
    "hand-uvnerf (no light transfer)": ["hand-uvnerf", "--pipeline.model.light-transfer", "False"],
    "hand-uvnerf (no pose code)": ["hand-uvnerf", "--pipeline.model.pose-code", "False"],
    "hand-uvnerf (refined poses)": ["hand-uvnerf", "--pipeline.model.refine-poses", "True"],
    "hand-canonical": ["hand-canonical", "--pipeline.model.skinning", "nearest"],
    "hand-canonical (volume)": ["hand-canonical", "--pipeline.model.skinning", "volume"],
}
LPIPS = ["--pipeline.model.perceptual-loss-weight", "0.02"]
LOSSES = {
    "mse": ["--pipeline.model.huber-delta", "10"],
    "mse+lpips": ["--pipeline.model.huber-delta", "10", *LPIPS],
    "huber": [],
    "huber+lpips": LPIPS,
}
FIGURES = ("hand_psnr", "hand_psnr_calibrated", "hand_ssim", "hand_lpips", "mask_iou")
PROTOCOL_COLUMNS = {"view": "novel view", "pose": "novel pose", "both": "both"}


@dataclass
class Ablation(Recorded):
    """Trains every method with every loss on the same capture and evaluates what was held out."""

    data: Path
    """Capture with several frames, for instance from `ns-hands synthesize interhand`."""
    dataparser: Literal["interhand-data", "hands-data"] = "interhand-data"
    """How the capture is read."""
    eval_cameras: Optional[Tuple[str, ...]] = None
    """Cameras to hold out; by default every seventh."""
    eval_frame_fraction: float = 1 / 3
    """Share of every sequence, from its end, to hold out."""
    methods: Tuple[str, ...] = ("hand-uvnerf", "hand-canonical", "hand-canonical (volume)")
    """Rows of the table; also "hand-uvnerf" with "(no light transfer)", "(no pose code)" or "(refined poses)"."""
    losses: Tuple[str, ...] = ("mse", "mse+lpips", "huber", "huber+lpips")
    """Rows of the table a method."""
    steps: int = 3000
    """Training steps of each."""
    max_eval_images: int = 30
    """Pictures evaluated of novel views, of novel poses, and of both."""
    output: Optional[Path] = None
    """Folder for runs, pictures and figures; by default a temporary one."""


def train_row(args: Ablation, method: str, loss: str, folder: Path) -> dict[str, float]:
    """Figures of one row."""
    options = [
        *METHODS[method], *LOSSES[loss], "--max-num-iterations", str(args.steps),
        "--pipeline.datamanager.pixel-sampler.patches-from", str(args.steps // 4),
    ]  # fmt: skip
    data = [
        "--data", str(args.data), args.dataparser, "--eval-frame-fraction", str(args.eval_frame_fraction),
        "--max-eval-images", str(args.max_eval_images),
        *(["--eval-cameras", *args.eval_cameras] if args.eval_cameras else []),
    ]  # fmt: skip
    return train_and_evaluate(folder, file_name(method, loss), options, data)


def file_name(method: str, loss: str) -> str:
    return f"{method}-{loss}".replace(" ", "-").replace("(", "").replace(")", "").replace("+", "-")


def main(args: Ablation) -> None:
    folder = args.output or Path(mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    rows = {(m, loss): train_row(args, m, loss, folder) for m in args.methods for loss in args.losses}
    figures = present(FIGURES, ({key.rsplit("/", 1)[-1]: 0.0 for key in found} for found in rows.values()))
    table = Table(title=f"{title_of(args.data)}, {args.steps} steps: {' / '.join(figures)}")
    for column in ("method", "loss", *PROTOCOL_COLUMNS.values(), "train s", "eval s"):
        table.add_column(column, overflow="fold")
    for (method, loss), found in rows.items():
        cells = [" / ".join(cell(key, found.get(f"{p}/{key}")) for key in figures) for p in PROTOCOL_COLUMNS]
        table.add_row(method, loss, *cells, f"{found['train_seconds']:.0f}", f"{found['eval_seconds']:.0f}")
    evaluated = EvaluatedImages.of_folder(folder / f"{file_name(args.methods[0], args.losses[0])}-pictures")
    held_out = f"The last {args.eval_frame_fraction:.0%} of every sequence is held out, too."
    notes = [evaluated.sentence(args.eval_cameras), held_out, *notes_on(args.data)]
    named = {f"{method}, {loss}": found for (method, loss), found in rows.items()}
    record(__file__, args, [table], notes=notes, figures=named)
    print(f"Runs, pictures and figures: {folder}")


if __name__ == "__main__":
    main(tyro.cli(Ablation))
