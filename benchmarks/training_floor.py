"""How near is the training of `hand-uvnerf` to what its networks alone take?

Steps of a training, and in turns with them steps of nothing but the field: as many samples at the same places, through
feature planes and networks of geometry and color, the way back, and the optimizer. Whatever is done about the rest, a
step takes as long as that. The parts of a step are those of its code; what is not the field's is posing, rays, samples,
nearest faces, compositing and losses.

    python benchmarks/training_floor.py --data CAPTURE --eval-cameras 03 10
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Tuple
from unittest import mock

import torch
import tyro
from captures import notes_on, title_of
from gpu import config_of, step, trainer_of
from recording import Recorded, record
from rich.table import Table


@dataclass
class Floor(Recorded):
    """Trains for some steps."""

    data: Path
    """The capture."""
    eval_cameras: Tuple[str, ...] = ()
    """Cameras held out."""
    method: str = "hand-uvnerf"
    """A method of samples in a shell."""
    warm_up: int = 50
    """Steps before anything is measured."""
    steps: int = 40
    """Steps of a turn."""
    turns: int = 5
    """Turns."""


def field_alone(trainer: Any, number: int) -> Callable[[], None]:
    """Steps of the field alone, on the samples of one step of the training."""
    field, optimizer = trainer.pipeline.model.field, trainer.optimizers.optimizers["fields"]
    located, seen = (mock.Mock(side_effect=method) for method in (field.geometry, field.radiance))
    with mock.patch.object(field, "geometry", located), mock.patch.object(field, "radiance", seen):
        step(trainer, number)
    (samples, code), (_, _, directions) = located.call_args.args, seen.call_args.args

    def run() -> None:
        optimizer.zero_grad()
        geometry = field.geometry(samples, code)
        radiance = field.radiance(samples, geometry, directions)
        (radiance.color.mean() + radiance.diffuse.mean() + geometry.shift.mean()).backward()
        optimizer.step()

    return run


def seconds(run: Callable[[], Any], count: int) -> float:
    """Of one of so many calls."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def measured(trainer: Any, args: Floor) -> Table:
    """Rays a second of the training and of its field alone, by the middle one of the turns."""
    number = iter(range(args.warm_up + args.steps * args.turns + 1))
    for _ in range(args.warm_up):
        step(trainer, next(number))
    alone = field_alone(trainer, next(number))
    turns = [(seconds(lambda: step(trainer, next(number)), args.steps), seconds(alone, args.steps))
             for _ in range(args.turns)]
    config = trainer.config.pipeline
    rays, samples = config.datamanager.train_num_rays_per_batch, config.model.num_samples
    threads = f"{torch.get_num_threads()} CPU threads"
    table = Table(title=f"{title_of(args.data)}: {args.method}, {rays} rays of {samples} samples a step, {threads}")
    for column in ("", "ms a step", "rays a second"):
        table.add_column(column, justify="right" if column else "left")
    whole, floor = (median(times) for times in zip(*turns, strict=True))
    for name, one in (("a step of the training", whole), ("feature planes and networks alone: the floor", floor)):
        table.add_row(name, f"{1e3 * one:.0f}", f"{rays / one:,.0f}")
    share = median(inner / outer for outer, inner in turns)
    table.add_row("share of the floor in a step", f"{share:.2f}", "")
    return table


def main(args: Floor) -> None:
    config = config_of(args.method, "cpu")
    data = config.pipeline.datamanager
    config.data = data.data = args.data
    data.dataparser = replace(data.dataparser, data=args.data, eval_cameras=args.eval_cameras)
    with trainer_of(config) as trainer:
        record(__file__, args, [measured(trainer, args)], notes=notes_on(args.data))


if __name__ == "__main__":
    main(tyro.cli(Floor))
