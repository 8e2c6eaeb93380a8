"""What benchmarks that compare trainings share: a row is `ns-train` and `ns-eval`, said before they run.

A row that is there already is taken as it is only if what was run is what is asked for: method and options, bytes of
the capture, our code, versions of packages, and the machine, on which the seconds depend. Otherwise it runs again.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from recording import code_digest, data_fingerprint, machine, shown, source, versions


def train_and_evaluate(folder: Path, name: str, method: Sequence[str], data: Sequence[str]) -> dict[str, float]:
    """Figures of one row; `train_seconds` and `eval_seconds` are the wall-clock of the two commands, start-up included.

    Args:
        folder: Where runs, pictures, logs and figures go: `<name>.json`, `<name>-pictures`, `runs/<name>`.
        name: Of the row.
        method: Name of the method and its options.
        data: What follows: `--data` and the capture, then the data parser and its options.
    """
    result, asked = folder / f"{name}.json", what_is_run(method, data)
    if result.exists():
        different = differences(result, asked)
        if not different:
            print(f"{name}: taken from {result.name}, made by the same options, data, code and machine.", flush=True)
            return json.loads(result.read_text())["results"]
        print(f"{name}: {result.name} was made with another {', '.join(different)}: trained again.", flush=True)
    prepare(folder, tuple(data))
    # Checkpoints of an older, longer training would be taken for the newest ones.
    for old in (folder / "runs" / name, folder / f"{name}-pictures"):
        shutil.rmtree(old, ignore_errors=True)
    results = run_row(folder, name, method, data)
    written = {"run": asked, "source": source(), "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M UTC}"}
    partial = folder / f".{name}.json.partial"
    partial.write_text(json.dumps({**written, "results": results}, indent=1))
    partial.replace(result)
    return results


def what_is_run(method: Sequence[str], data: Sequence[str]) -> dict[str, Any]:
    """Everything that the figures of a row depend on, as it stands in the row's file."""
    return {
        "method": list(method),
        "data options": [shown(word) for word in data],
        "capture": data_fingerprint(capture_of(data)),
        "code": code_digest(),
        "packages": versions(),
        "machine": machine(),
    }


def differences(result: Path, asked: dict[str, Any]) -> list[str]:
    """What of a row's file is not what is asked for; everything, where the file does not say."""
    try:
        made = json.loads(result.read_text())["run"]
        return [key for key, value in asked.items() if made.get(key) != value]
    except (ValueError, KeyError, TypeError, AttributeError):
        return list(asked)


def capture_of(data: Sequence[str]) -> Path:
    """Folder of the capture in the options that follow a method."""
    return Path(data[list(data).index("--data") + 1])


@lru_cache
def prepare(folder: Path, data: tuple[str, ...]) -> None:
    """Has the hands fitted and cut out, by a training of one step, so that no row pays for what all rows share."""
    with (folder / "prepare.log").open("w") as log:
        seconds = timed(training(folder, "prepare", ["hand-uvnerf", "--max-num-iterations", "1"], data), log)
    print(f"Fit and crops, which rows share and whose seconds are in no row: {seconds:.0f} s with the start-up.")
    shutil.rmtree(folder / "runs" / "prepare", ignore_errors=True)


def training(folder: Path, name: str, method: Sequence[str], data: Sequence[str]) -> list[str]:
    """The command that trains a row."""
    return [
        str(Path(sys.executable).parent / "ns-train"), *method, "--output-dir", str(folder / "runs"),
        "--experiment-name", name, "--timestamp", "run", "--vis", "tensorboard",
        "--steps-per-eval-image", "1000000", "--steps-per-eval-batch", "1000000", *data,
    ]  # fmt: skip


def trained(folder: Path, name: str, method: Sequence[str], data: Sequence[str]) -> Path:
    """config.yml of a training of a row, which writes to `<name>.log`; what an older one left goes."""
    shutil.rmtree(folder / "runs" / name, ignore_errors=True)
    with (folder / f"{name}.log").open("w") as log:
        timed(training(folder, name, method, data), log)
    return folder / "runs" / name / method[0] / "run" / "config.yml"


def run_row(folder: Path, name: str, method: Sequence[str], data: Sequence[str]) -> dict[str, float]:
    """Trains and evaluates."""
    train = training(folder, name, method, data)
    config, written = folder / "runs" / name / method[0] / "run" / "config.yml", folder / f".{name}.metrics.json"
    evaluate = [
        str(Path(sys.executable).parent / "ns-eval"), "--load-config", str(config), "--output-path", str(written),
        "--render-output-path", str(folder / f"{name}-pictures"),
    ]  # fmt: skip
    with (folder / f"{name}.log").open("w") as log:
        train_seconds, eval_seconds = (timed(command, log) for command in (train, evaluate))
    found = json.loads(written.read_text())["results"]
    written.unlink()
    return {**found, "train_seconds": train_seconds, "eval_seconds": eval_seconds}


def timed(command: Sequence[str], log: Any) -> float:
    """Says a command, runs it, and gives its seconds."""
    print("$", shlex.join([Path(command[0]).name, *command[1:]]), flush=True)
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return time.monotonic() - start
