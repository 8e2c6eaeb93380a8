"""What does it cost to have captures done as a batch, and does it survive being killed?

python benchmarks/fleet.py overhead
python benchmarks/fleet.py tiny
python benchmarks/fleet.py kill

`overhead` does nothing in each step, here and by Ray, and asks for the status of a ledger of ten thousand captures.
`tiny` does tiny synthetic captures through fit, a few steps of training, evaluation and export. `kill` ends commands
and drivers (with `--engine ray` Ray's workers, too) by SIGKILL at random moments and compares what comes out with an
undisturbed run. Both can be stopped and go on when they are called again.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Union

import tyro
import yaml
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.fleet.driver import Driver, opened_results
from nerfstudio_hands.fleet.engines import Engine, LocalEngine
from nerfstudio_hands.fleet.graph import make_steps
from nerfstudio_hands.fleet.ledger import LEDGER_FILE, Ledger, Outcome
from nerfstudio_hands.fleet.plan import make_plan
from nerfstudio_hands.fleet.step import Step
from nerfstudio_hands.fleet.task import Task

NS_HANDS = str(Path(sys.executable).parent / "ns-hands")


@dataclass(kw_only=True)
class Overhead(Recorded):
    """Time of the driver for steps that do nothing, and of `ns-hands batch status`."""

    name: str = "overhead"
    """Of the result's file."""
    steps: int = 2000
    """Steps of the plan."""
    captures: int = 10000
    """Captures in the ledger that is asked."""
    engines: tuple[str, ...] = ("local", "ray")
    """What runs the steps."""

    def main(self) -> None:
        table = Table("engine", "steps", "seconds", "ms a step", title="Steps that do nothing")
        for name in self.engines:
            seconds = time_nothing(name, self.steps)
            table.add_row(name, str(self.steps), f"{seconds:.2f}", f"{1000 * seconds / self.steps:.2f}")
        status = Table("captures", "steps", "wall s", "CPU s", title="ns-hands batch status, the best of three")
        wall, cpu = time_status(self.captures)
        status.add_row(str(self.captures), str(4 * self.captures), f"{wall:.2f}", f"{cpu:.2f}")
        record(__file__, self, [table, status], notes=["Without the start of Ray; its first workers start within."])


@dataclass(kw_only=True)
class Tiny(Recorded):
    """Tiny synthetic captures, by Ray and by this machine's processes, against the sum of their steps."""

    name: str = "tiny"
    """Of the result's file."""
    captures: int = 12
    """Captures; each another person."""
    workers: int = 2
    """Steps at a time."""
    iterations: int = 30
    """Steps of each training."""
    engines: tuple[Literal["processes", "ray"], ...] = ("processes", "ray")
    """What runs the steps."""
    output: Path = Path("outputs/fleet")
    """Folder for captures and results; captures that are there are used again."""

    def main(self) -> None:
        table = Table(
            "engine", "wall s", "sum of steps s", "wall over sum / workers", "steps done", title="Tiny captures"
        )
        for name in self.engines:
            plan = write_plan(self, self.output / name)
            print(f"{name}: {self.captures} captures, {self.workers} steps at a time", flush=True)
            began, start = time.time(), time.monotonic()
            subprocess.run(batch_command(plan, name, self.workers), check=True)
            wall = time.monotonic() - start
            rows = ledger_rows(self.output / name)
            # Of a run that was stopped and goes on, what it does now.
            now = [row["ended"] - row["started"] for row in rows if row["started"] >= began]
            ratio = f"{wall * self.workers / sum(now):.2f}" if now else "-"
            done = f"{len(now)} of {len(rows)}"
            table.add_row(name, f"{wall:.0f}", f"{sum(now):.0f}", ratio, done)
        note = "Synthetic. Wall time includes the look at the plan's options and, of Ray, its start and end."
        record(__file__, self, [table], notes=[note])


@dataclass(kw_only=True)
class Kill(Recorded):
    """Kills at random moments, until all is done, and a comparison of figures with an undisturbed run."""

    name: str = "kill"
    """Of the result's file."""
    captures: int = 3
    """Captures; each another person."""
    workers: int = 2
    """Steps at a time."""
    iterations: int = 30
    """Steps of each training."""
    kills: int = 20
    """How often something is killed: by turns the driver, one of its commands and, of Ray, one of its workers."""
    longest: float = 60
    """Most seconds between two."""
    seed: int = 0
    """Of the moments."""
    engine: Literal["processes", "ray"] = "processes"
    """What runs the steps that are disturbed; the undisturbed run is one of processes."""
    output: Path = Path("outputs/fleet")
    """Folder for captures and results; captures that are there are used again."""

    def main(self) -> None:
        whole, broken = (write_plan(self, self.output / name) for name in ("whole", f"killed-{self.engine}"))
        print("Undisturbed:", flush=True)
        subprocess.run(batch_command(whole, "processes", self.workers), check=True)
        command = [*batch_command(broken, self.engine, self.workers), "--retry"]
        killed = kill_at_random(command, self)
        print("Whatever is left:", flush=True)
        subprocess.run(command, check=True)
        here, there = (eval_figures(plan.with_suffix("")) for plan in (whole, broken))
        most = max(largest_difference(here[key], there[key]) for key in here)
        rows = ledger_rows(broken.with_suffix(""))
        assert here.keys() == there.keys() and len({row["key"] for row in rows}) == len(rows)
        kills = [f"{name}s killed" for name in killed]
        table = Table("engine", *kills, "steps done", "figures", "largest difference", title="Kills")
        done = f"{sum(row['state'] == 'done' for row in rows)} of {len(rows)}"
        counted = sum(map(len, here.values()))
        table.add_row(self.engine, *map(str, killed.values()), done, str(counted), f"{most:.3g}")
        record(__file__, self, [table], notes=["Synthetic. Figures are all of ns-eval but those of time."])


def do_nothing(task: Task, **told) -> Outcome:
    """A step that is done at once."""
    now = time.time()
    return Outcome(task.step.key, "done", started=now, ended=now, host="here")


def nothing_steps(count: int, folder: Path = Path()) -> Iterator[Step]:
    """Steps of captures of four each, chained as real ones are; the captures lie in a folder."""
    for number in range(count // 4):
        capture = f"take{number}"
        keys = [f"{capture}/fit", *(f"{capture}/m/{step}" for step in ("train", "eval", "export"))]
        needs = [(), (keys[0],), (keys[1],), (keys[1],)]
        for key, needed in zip(keys, needs, strict=True):
            step = key.rpartition("/")[2]
            yield Step(key, capture, "" if step == "fit" else "m", step, str(folder / capture), (), needed, inputs=key)


def time_nothing(name: str, count: int) -> float:
    """Seconds of a driver for steps that do nothing."""
    with tempfile.TemporaryDirectory() as folder, opened_results(f"{folder}/out") as results:
        engine = engine_of_nothing(name)
        driver = Driver(list(nothing_steps(count, Path(folder))), results, Path(folder))
        for step in driver.steps:
            Path(step.data).mkdir(exist_ok=True)
        start = time.monotonic()
        driver.recover()
        driver.run(engine, lambda *_: None)
        assert {row["state"] for row in results.ledger.rows()} == {"done"}
        return time.monotonic() - start


def engine_of_nothing(name: str) -> Engine:
    if name == "local":
        return LocalEngine(2, work=do_nothing)
    from nerfstudio_hands.fleet.ray_engine import RayEngine

    return RayEngine("local", workers=2, work=do_nothing)


def time_status(captures: int) -> tuple[float, float]:
    """Seconds of the command, its start included: on the clock, and of a core."""
    # Installed, it has its bytecode; what others do on this machine is none of its CPU time.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / LEDGER_FILE)
        ledger.add(nothing_steps(4 * captures))
        ledger.close()
        with closing(sqlite3.connect(Path(folder) / LEDGER_FILE)) as rows, rows:
            rows.execute("UPDATE steps SET state = 'done', started = 0, ended = 60 WHERE position % 7 < 5")
            rows.execute(
                "UPDATE steps SET state = 'failed', sentence = 'no hand' WHERE step = 'fit' AND position % 70 = 0"
            )
        times = []
        for _ in range(3):
            start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [NS_HANDS, "batch", "status", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            times.append((time.monotonic() - start, cpu))
        return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def write_plan(args: Tiny | Kill, results: Path) -> Path:
    """A plan of tiny captures, which are rendered where they are not there."""
    for seed in range(args.captures):
        capture = args.output / "captures" / f"person{seed}"
        if not capture.exists():
            subprocess.run(
                [NS_HANDS, "synthesize", "capture-room", "--num-cameras", "7", "--resolution", "96",
                 "--supersampling", "1", "--subdivisions", "1", "--seed", str(seed), "--output", str(capture)],
                check=True,
            )  # fmt: skip
    plan = {
        "results": str(results.absolute()),
        "captures": [
            str((args.output / "captures" / f"person{seed}" / "1").absolute()) for seed in range(args.captures)
        ],
        "data": {"max-eval-images": 2},
        "methods": ["hand-uvnerf"],
        "train": {"max-num-iterations": args.iterations, "pipeline.datamanager.train-num-rays-per-batch": 256},
        "export": {"texture-size": 256, "format": ["glb"]},
    }
    make_steps(make_plan(plan, base=Path.cwd(), source="benchmark"))
    path = results.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(plan))
    return path


def batch_command(plan: Path, engine: str, workers: int) -> list[str]:
    """`ns-hands batch` with a plan by an engine of this machine."""
    address = ("--address", "local") if engine == "ray" else ()
    return [NS_HANDS, "batch", str(plan), "--workers", str(workers), *address]


def kill_at_random(command: list[str], args: Kill) -> dict[str, int]:
    """Starts the batch again and again, and kills it, one of its commands or one of its workers; how often each."""
    killed = {"driver": 0, "command": 0} | ({"worker": 0} if args.engine == "ray" else {})
    moments, process = random.Random(args.seed), subprocess.Popen(command)
    for number in range(args.kills):
        try:
            process.wait(moments.uniform(0, args.longest))
            print(f"All is done after {sum(killed.values())} kills.", flush=True)
            return killed
        except subprocess.TimeoutExpired:
            pass
        kind = list(killed)[number % len(killed)]
        if victims := [process.pid] if kind == "driver" else awaited(process, MARKS[kind]):
            print(f"Kill {number + 1} of {args.kills}: a {kind}", flush=True)
            with suppress(ProcessLookupError):
                os.kill(moments.choice(victims), signal.SIGKILL)
                killed[kind] += 1
        if kind == "driver":
            process.wait()
            process = subprocess.Popen(command)
    process.kill()
    process.wait()
    return killed


PATIENCE_SECONDS = 300.0
"""For which a driver may look at its plan before its first command."""
MARKS = {"command": ("/ns-train", "/ns-eval", "/ns-hands"), "worker": ("ray::",)}
"""What stands in the command lines of processes of each kind."""


def awaited(process: subprocess.Popen, marks: tuple[str, ...]) -> list[int]:
    """What a driver has begun, once there is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := descendants(process.pid, marks)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def descendants(parent: int, marks: tuple[str, ...]) -> list[int]:
    """Processes that a process, or one that it began, has begun, and whose command line has a mark (Linux)."""
    found = []
    with suppress(OSError):
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                if any(mark in Path(f"/proc/{child}/cmdline").read_bytes().decode() for mark in marks):
                    found.append(child)
                found += descendants(child, marks)
    return found


def largest_difference(here: dict[str, float], there: dict[str, float]) -> float:
    """Between figures of two runs, without those of time."""
    assert here.keys() == there.keys()
    names = [name for name in here if not any(word in name for word in ("fps", "per_sec", "seconds"))]
    # What is no number in both is the same.
    return max(
        0.0 if here[name] != here[name] and there[name] != there[name] else abs(here[name] - there[name])
        for name in names
    )


def ledger_rows(results: Path) -> list[sqlite3.Row]:
    ledger = Ledger(results / LEDGER_FILE)
    try:
        return ledger.rows()
    finally:
        ledger.close()


def eval_figures(results: Path) -> dict[str, dict[str, float]]:
    """What was measured, by step."""
    return {row["key"]: json.loads(row["figures"]) for row in ledger_rows(results) if row["step"] == "eval"}


if __name__ == "__main__":
    choices = Union[
        Annotated[Overhead, tyro.conf.subcommand("overhead")],
        Annotated[Tiny, tyro.conf.subcommand("tiny")],
        Annotated[Kill, tyro.conf.subcommand("kill")],
    ]
    tyro.cli(tyro.conf.OmitSubcommandPrefixes[choices]).main()
