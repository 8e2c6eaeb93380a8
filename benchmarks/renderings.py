"""How fast are avatars of several methods drawn, and how large are they?

Each draws the poses of its capture at InterHand2.6M's height of 512 pixels, a new pose in every picture, in turns with
the others, in the way in which the viewer draws it. What they look like stands in the figures of `ns-eval`.

    python benchmarks/renderings.py --load-configs outputs/.../hand-uvnerf/.../config.yml outputs/.../config.yml
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

import torch
import tyro
from captures import notes_on, title_of
from nerfstudio.pipelines.base_pipeline import Pipeline
from recording import Recorded, record
from render import camera_of, measure
from rich.table import Table

from nerfstudio_hands.cli.trained_run import load_run


@dataclass
class Renderings(Recorded):
    """Draws with every run."""

    load_configs: Tuple[Path, ...]
    """config.yml of each run, of one capture."""
    pictures: int = 20
    """Pictures that each draws in a turn, evenly spread over the frames of the capture."""
    turns: int = 2
    """Turns."""
    height: int = 512
    """Height of these in pixels."""


def speeds(pipelines: Dict[str, Pipeline], *, title: str, height: int, pictures: int, turns: int) -> Table:
    """Pictures a second of every turn, milliseconds for posing, and learned numbers, an avatar a row."""
    cameras = {name: camera_of(pipeline, height) for name, pipeline in pipelines.items()}
    first = next(iter(cameras.values()))
    threads = f"{torch.get_num_threads()} CPU threads"
    size = f"{int(first.width)}x{int(first.height)} pixels"
    table = Table(title=f"{title}: pictures a second, {size}, a new pose each, {threads}")
    for column in ("", *(f"turn {number + 1}" for number in range(turns)), "ms of posing", "learned numbers"):
        table.add_column(column, justify="right")
    found = {name: [] for name in pipelines}
    for _ in range(turns):
        for name, pipeline in pipelines.items():
            found[name].append(measure(pipeline, cameras[name], pictures))
    for name, rows in found.items():
        rates = (f"{1 / total:.2f}" for total, _, _ in rows)
        learned = sum(numbers.numel() for numbers in pipelines[name].model.parameters())
        table.add_row(name, *rates, f"{1000 * min(posing for _, posing, _ in rows):.0f}", f"{learned:,}")
    return table


def main(args: Renderings) -> None:
    runs = [load_run(path, quick=True) for path in args.load_configs]
    data = runs[0][0].pipeline.datamanager.data
    pipelines = {f"{config.experiment_name} {config.method_name}": pipeline for config, pipeline in runs}
    table = speeds(
        pipelines, title=title_of(data), height=args.height, pictures=args.pictures, turns=args.turns
    )
    record(__file__, args, [table], notes=notes_on(data))


if __name__ == "__main__":
    main(tyro.cli(Renderings))
