"""What benchmarks that compare trainings share: a row is `ns-train` and `ns-eval`, said before they run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def train_and_evaluate(folder: Path, name: str, method: Sequence[str], data: Sequence[str]) -> dict[str, float]:
    """Figures of one row; `seconds` is the wall-clock of `ns-train`. A row that is there already is not run again.

    Args:
        folder: Where runs, pictures, logs and figures go: `<name>.json`, `<name>-pictures`, `runs/<name>`.
        name: Of the row.
        method: Name of the method and its options.
        data: What follows: data, data parser and its options.
    """
    result = folder / f"{name}.json"
    if result.exists():
        return json.loads(result.read_text())["results"]
    bin_folder = Path(sys.executable).parent
    train = [
        str(bin_folder / "ns-train"), *method, "--output-dir", str(folder / "runs"), "--experiment-name", name,
        "--timestamp", "run", "--vis", "tensorboard",
        "--steps-per-eval-image", "1000000", "--steps-per-eval-batch", "1000000", *data,
    ]  # fmt: skip
    config = folder / "runs" / name / method[0] / "run" / "config.yml"
    evaluate = [
        str(bin_folder / "ns-eval"), "--load-config", str(config), "--output-path", str(folder / f"{name}.new.json"),
        "--render-output-path", str(folder / f"{name}-pictures"),
    ]  # fmt: skip
    for command in (train, evaluate):
        print("$", shlex.join([Path(command[0]).name, *command[1:]]), flush=True)
    start = time.monotonic()
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run(train, check=True, stdout=log, stderr=subprocess.STDOUT)
        seconds = time.monotonic() - start
        subprocess.run(evaluate, check=True, stdout=log, stderr=subprocess.STDOUT)
    found = json.loads((folder / f"{name}.new.json").read_text())
    found["results"]["seconds"] = seconds
    result.write_text(json.dumps(found, indent=2))
    (folder / f"{name}.new.json").unlink()
    return found["results"]
