"""Template with a fitted texture, refined mesh, mesh drawn by a network, radiance field: figures of held-out cameras.

Every row is `ns-train` with its default length and `ns-eval`, printed before they run.

    python benchmarks/mesh_and_field.py --data ../shared/captures/fmhr-demo/1 --eval-cameras 03 10
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Optional, Tuple

import tyro
from rich.console import Console
from rich.table import Table
from trained_rows import train_and_evaluate

ROWS = {
    "template, fitted texture": ["hand-mesh", "--pipeline.model.displace-from", "2"],
    "hand-mesh": ["hand-mesh"],
    "hand-mesh-neural, mlp": ["hand-mesh-neural"],
    "hand-mesh-neural, unet": ["hand-mesh-neural", "--pipeline.model.shader", "unet"],
    "hand-uvnerf": ["hand-uvnerf"],
}
COLUMNS = ("hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips_calibrated", "lpips", "mask_iou", "seconds")

DIGITS = {"hand_psnr_calibrated": 2, "hand_psnr": 2, "seconds": 0}


@dataclass
class MeshAndField:
    """Trains every row on the same capture and evaluates what was held out."""

    data: Path
    """Capture in a layout that we read."""
    eval_cameras: Optional[Tuple[str, ...]] = None
    """Cameras to hold out; by default every seventh."""
    rows: Tuple[str, ...] = tuple(ROWS)
    """Rows of the table."""
    steps: Optional[int] = None
    """Training steps of each; by default the method's own."""
    output: Optional[Path] = None
    """Folder for runs, pictures and figures; by default a temporary one."""


def main(args: MeshAndField) -> None:
    folder = args.output or Path(mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    data = ["--data", str(args.data), "hands-data"]
    data += ["--eval-cameras", *args.eval_cameras] if args.eval_cameras else []
    table = Table(title=f"{args.data}: held-out cameras")
    for column in ("", *COLUMNS):
        table.add_column(column, no_wrap=True)
    for row in args.rows:
        name = row.replace(",", "").replace(" ", "-")
        steps = [] if args.steps is None else ["--max-num-iterations", str(args.steps)]
        found = train_and_evaluate(folder, name, [*ROWS[row], *steps], data)
        table.add_row(
            row, *(f"{found[key]:.{2 if 'psnr' in key else 0 if key == 'seconds' else 3}f}" for key in COLUMNS)
        )
    Console(width=160).print(table)
    print(f"Runs, pictures and figures: {folder}")


if __name__ == "__main__":
    main(tyro.cli(MeshAndField))
