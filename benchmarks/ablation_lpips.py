"""Both warps, with and without LPIPS: one table of held-out views, held-out poses, and both.

Every row is two commands, printed before they run: `ns-train` with the options of the row, and `ns-eval`. All rows see
the same pictures for the same number of steps from the same seed. "mse" is the squared error alone, "huber" what the
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
from rich.console import Console
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
LPIPS = ["--pipeline.model.perceptual-loss", "0.02"]
LOSSES = {
    "mse": ["--pipeline.model.huber-delta", "1e6"],
    "mse+lpips": ["--pipeline.model.huber-delta", "1e6", *LPIPS],
    "huber": [],
    "huber+lpips": LPIPS,
}
FIGURES = ("hand_psnr", "hand_psnr_calibrated", "hand_ssim", "hand_lpips")
PROTOCOLS = ("view", "pose", "both")


@dataclass
class Ablation:
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
    name = f"{method}-{loss}".replace(" ", "-").replace("(", "").replace(")", "").replace("+", "-")
    options = [
        *METHODS[method], *LOSSES[loss], "--max-num-iterations", str(args.steps),
        "--pipeline.datamanager.pixel-sampler.patches-from", str(args.steps // 4),
    ]  # fmt: skip
    data = [
        "--data", str(args.data), args.dataparser, "--eval-frame-fraction", str(args.eval_frame_fraction),
        "--max-eval-images", str(args.max_eval_images),
        *(["--eval-cameras", *args.eval_cameras] if args.eval_cameras else []),
    ]  # fmt: skip
    return train_and_evaluate(folder, name, options, data)


def main(args: Ablation) -> None:
    folder = args.output or Path(mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(title=f"{args.data.name}: {args.steps} steps, dB / dB calibrated / SSIM / LPIPS in the hand region")
    for column in ("method", "loss", "novel view", "novel pose", "both", "train s"):
        table.add_column(column, no_wrap=True)
    for method in args.methods:
        for loss in args.losses:
            found = train_row(args, method, loss, folder)
            cells = [
                " / ".join(f"{found.get(f'{p}/{f}', float('nan')):.{2 if 'psnr' in f else 3}f}" for f in FIGURES)
                for p in PROTOCOLS
            ]
            table.add_row(method, loss, *cells, f"{found['seconds']:.0f}")
    Console(width=160).print(table)
    print(f"Runs, pictures and figures: {folder}")


if __name__ == "__main__":
    main(tyro.cli(Ablation))
