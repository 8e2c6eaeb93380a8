"""What does a web viewer that nobody looks at cost a training?

Two trainings of the same capture, with and without it, take turns: while one does a block of steps, the other stands
still between two of its own. Which of the two goes first changes from pair to pair, so that a machine that grows slower
or faster does not decide.

    python benchmarks/viewer_overhead.py --data data/synthetic-hand/1
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from captures import notes_on, title_of
from recording import Recorded, record
from rich.table import Table

WITH, WITHOUT = "viewer", "tensorboard"


@dataclass
class Benchmark(Recorded):
    """Ratio of a training's steps a second with and without a viewer."""

    data: Path = Path("data/synthetic-hand/1")
    """The capture."""
    method: str = "hand-uvnerf"
    """What is trained."""
    pairs: int = 12
    """Blocks of each training; one more warms up."""
    steps: int = 40
    """Steps of a block."""


class SteppedTraining:
    """An `ns-train` that does as many steps as it is told and stands still otherwise.

    Args:
        args: What is trained.
        vis: `--vis`.
        folder: Where the run and its log go.
    """

    def __init__(self, args: Benchmark, vis: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        told, self._tell = os.pipe()
        self._answer, answers = os.pipe()
        options = [
            args.method, "--data", str(args.data), "--output-dir", str(folder), "--vis", vis,
            "--max-num-iterations", str(args.steps * (args.pairs + 1) + 1), "--steps-per-eval-image", "1000000",
            "--steps-per-eval-batch", "1000000", "--viewer.websocket-port", str(port),
        ]  # fmt: skip
        self.log = folder / f"{vis}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--stepped", str(told), str(answers), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(told, answers),
            )
        os.close(told)
        os.close(answers)
        self._answers = os.fdopen(self._answer)

    def block(self, steps: int) -> tuple[float, float]:
        """Seconds of that many steps: by the clock, and of processors."""
        os.write(self._tell, f"{steps}\n".encode())
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"error: {self.log}: expected a training, found:\n{self.log.read_text()[-2000:]}")
        clock, processors = line.split()
        return float(clock), float(processors)


def train_stepped(told: int, answers: int, options: Sequence[str]) -> None:
    """`ns-train` with these options, whose steps wait until they are asked for by a number in a line of `told`; the
    seconds that they took are the lines of `answers`."""
    from nerfstudio.scripts.train import entrypoint

    from nerfstudio_hands.training.trainer import HandTrainer

    asked, one_step, state = os.fdopen(told), HandTrainer.train_iteration, {"left": 0, "since": None}

    def waiting_step(self: HandTrainer, step: int):
        if not state["left"]:
            if state["since"] is not None:
                clock, processors = (now - then for now, then in zip(clocks(), state["since"], strict=True))
                os.write(answers, f"{clock} {processors}\n".encode())
            line = asked.readline()
            if not line:
                raise SystemExit(0)
            state["left"], state["since"] = int(line), clocks()
        state["left"] -= 1
        return one_step(self, step)

    HandTrainer.train_iteration = waiting_step
    sys.argv = ["ns-train", *options]
    entrypoint()


def clocks() -> tuple[float, float]:
    """Now, by the clock, and seconds of processors that this process has used."""
    return time.perf_counter(), time.process_time()


def main(args: Benchmark) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trainings = {WITHOUT: SteppedTraining(args, WITHOUT, Path(folder))}
        try:
            # The first one fits the hands and cuts the crops, the second one finds them.
            trainings[WITHOUT].block(args.steps)
            trainings[WITH] = SteppedTraining(args, WITH, Path(folder))
            trainings[WITH].block(args.steps)
            pairs = []
            for pair in range(args.pairs):
                order = (WITH, WITHOUT) if pair % 2 else (WITHOUT, WITH)
                pairs.append({vis: trainings[vis].block(args.steps) for vis in order})
                print(f"pair {pair + 1} of {args.pairs}: {pairs[-1]}", flush=True)
        finally:
            for training in trainings.values():
                training.process.terminate()
                training.process.wait()
    table = Table(title=f"{args.method} on {title_of(args.data)}, {args.pairs} pairs of {args.steps} steps, no browser")
    for column in ("", "without a viewer", "with it", "ratio: median", "quartiles", "least and most"):
        table.add_column(column, justify="right")
    for kind, name in enumerate(("steps/s by the clock", "steps a second of processor time")):
        without, within = ([args.steps / pair[vis][kind] for pair in pairs] for vis in (WITHOUT, WITH))
        ratios = sorted(with_it / alone for with_it, alone in zip(within, without, strict=True))
        low, _, high = statistics.quantiles(ratios, n=4)
        table.add_row(
            name,
            f"{statistics.median(without):.2f}",
            f"{statistics.median(within):.2f}",
            f"{statistics.median(ratios):.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{ratios[0]:.3f} to {ratios[-1]:.3f}",
        )
    note = "A ratio under 1: the training with the viewer is slower. Nobody opens its page."
    figures = {
        f"pair {number}": {
            f"{vis} {what}": value
            for vis, values in pair.items()
            for what, value in zip(("clock", "processors"), values, strict=True)
        }
        for number, pair in enumerate(pairs)
    }
    record(__file__, args, [table], notes=[note, *notes_on(args.data)], figures=figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stepped"]:
        train_stepped(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        main(tyro.cli(Benchmark))
