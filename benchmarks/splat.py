"""`hand-splat` beside `hand-uvnerf`: figures of held-out cameras, and pictures a second with a new pose each.

Both are trained by `ns-train` with their default lengths and evaluated by `ns-eval`; then each draws poses at
InterHand2.6M's height of 512 pixels as `render.py` does, one after the other and in turns, so that what else the
machine does hits both.

    python benchmarks/splat.py --data ../shared/captures/fmhr-demo/1 --eval-cameras 03 10
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Optional, Tuple

import tyro
from captures import EvaluatedImages, cell, notes_on, present, title_of
from recording import Recorded, record
from renderings import speeds
from rich.table import Table
from trained_rows import train_and_evaluate

from nerfstudio_hands.cli.trained_run import load_run

METHODS = ("hand-uvnerf", "hand-splat")
COLUMNS = (
    "hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips_calibrated", "psnr", "lpips", "mask_iou",
    "inner_hand_psnr_calibrated", "train_seconds", "eval_seconds",
)  # fmt: skip
SECONDS = "Seconds are those of ns-train and ns-eval, start-up included; fit and crops, which rows share, are in none."


@dataclass
class Splat(Recorded):
    """Trains both methods on the same capture, evaluates what was held out, and draws."""

    data: Path
    """Capture in a layout that we read."""
    eval_cameras: Optional[Tuple[str, ...]] = None
    """Cameras to hold out; by default every seventh."""
    steps: Optional[int] = None
    """Training steps of each; by default the method's own."""
    pictures: int = 20
    """Pictures that each draws in a turn, evenly spread over the frames of the capture."""
    turns: int = 2
    """Turns."""
    height: int = 512
    """Height of these in pixels."""
    output: Optional[Path] = None
    """Folder for runs, pictures and figures; by default a temporary one."""


def main(args: Splat) -> None:
    folder = args.output or Path(mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    data = ["--data", str(args.data), "hands-data"]
    data += ["--eval-cameras", *args.eval_cameras] if args.eval_cameras else []
    length = [] if args.steps is None else ["--max-num-iterations", str(args.steps)]
    rows = {name: train_and_evaluate(folder, name, [name, *length], data) for name in METHODS}
    evaluated = EvaluatedImages.of_folder(folder / f"{METHODS[0]}-pictures")
    pipelines = {name: load_run(folder / "runs" / name / name / "run" / "config.yml")[1] for name in METHODS}
    drawn = speeds(
        pipelines, title=title_of(args.data), height=args.height, pictures=args.pictures, turns=args.turns
    )
    tables = [figures(args, rows), drawn]
    notes = [evaluated.sentence(args.eval_cameras), SECONDS, *notes_on(args.data)]
    record(__file__, args, tables, notes=notes, figures=rows)
    print(f"Runs, pictures and figures: {folder}")


def figures(args: Splat, rows: dict[str, dict[str, float]]) -> Table:
    """Figures of held-out pictures, a method a row."""
    length = "default length" if args.steps is None else f"{args.steps} steps"
    table, columns = Table(title=f"{title_of(args.data)}, {length}: held out"), present(COLUMNS, rows.values())
    for column in ("", *columns):
        table.add_column(column, overflow="fold")
    for name, found in rows.items():
        table.add_row(name, *(cell(key, found.get(key)) for key in columns))
    return table


if __name__ == "__main__":
    main(tyro.cli(Splat))
