"""Carries out one step: runs its command in a folder of its own, and puts the result in its place whole.

The result's folder has a receipt in it, which says by what it was made. It appears with the folder, or on a URL after
everything else, so that a folder without a receipt is no result.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector.weights import FOLDER_VARIABLE, weights_folder
from nerfstudio_hands.fleet import addresses, leash
from nerfstudio_hands.fleet.ledger import Outcome
from nerfstudio_hands.fleet.scratch import fetched_capture, work_folder
from nerfstudio_hands.fleet.task import Task, versions
from nerfstudio_hands.program.faults import FULL

RECEIPT = "step.json"
"""Lies in the folder of every result."""
RESULTS_FILE = "fleet.json"
"""Lies in the results' folder and tells whose results they are."""
WORK_FOLDER = ".work"
"""Below local results: what is half made, on their own disk, so that it is moved by one rename."""

_LOST = {-signal.SIGKILL, 128 + signal.SIGKILL}


class WrongWorker(HandsError):
    """A worker that cannot do any step of this batch."""


class Stopped(Exception):
    """The driver wants to end."""


def run_step(
    task: Task, *, started: Callable[[str, float], None] | None = None, stop: threading.Event | None = None
) -> Outcome:
    """Does a step, unless its result is there already.

    Args:
        task: The step.
        started: Called with this machine's name and the time once the step begins.
        stop: Set when the driver wants to end; the command is then asked to.

    Returns:
        How it ended; a fault of the user's or of the command's is part of that.

    Raises:
        WrongWorker: Another version is installed here, or the results' folder is not to be seen.
        Stopped: `stop` was set.
    """
    begin, host = time.time(), socket.gethostname()
    _require_same_version(task, host)
    _require_results(task, host)
    if started is not None:
        started(host, begin)
    log = f"logs/{task.step.key}.{task.attempt}.log"
    outcome = Outcome(
        task.step.key, "failed", host=host, started=begin, versions=versions(), log=log, content=task.content
    )
    try:
        if (found := _found(task)) is not None:
            return found
        with _work_folder(task) as work:
            outcome = _carry_out(task, work, outcome, stop or threading.Event())
    except WrongWorker:
        raise
    except HandsError as error:
        outcome.sentence = str(error)
    except OSError as error:
        where = error.filename or task.step.key
        remedy = "free some space" if error.errno in FULL else "see that it is there and that you may write"
        outcome.sentence = f"{where}: expected to read and write here, found '{error.strerror or error}'; {remedy}."
    outcome.ended = outcome.ended or time.time()
    return outcome


def read_receipt(results: str, key: str) -> tuple[str, Outcome] | None:
    """Inputs and outcome of a result that is there whole; None where there is none."""
    content = addresses.read_file(addresses.join(results, key, RECEIPT))
    if content is None:
        return None
    try:
        found = json.loads(content)
        return found["inputs"], Outcome(**found["outcome"])
    except (ValueError, KeyError, TypeError) as error:
        raise HandsError(
            f"{results}/{key}/{RECEIPT}: expected the receipt of a step, found something else ({error}); remove the "
            "folder, and the step is done again."
        ) from error


def _found(task: Task) -> Outcome | None:
    """The outcome of a result that is there already, by the same inputs and of the same content."""
    found = read_receipt(task.results, task.step.key)
    return found[1] if found is not None and (found[0], found[1].content) == (task.step.inputs, task.content) else None


def _require_same_version(task: Task, host: str) -> None:
    here = versions()["nerfstudio-hands"]
    if here != task.version:
        raise WrongWorker(
            f"worker on {host}: expected nerfstudio-hands {task.version} as the driver has it, found {here}; install "
            "the same on both."
        )


def _require_results(task: Task, host: str) -> None:
    content = addresses.read_file(addresses.join(task.results, RESULTS_FILE))
    if content is None or json.loads(content).get("id") != task.results_id:
        raise WrongWorker(
            f"worker on {host}: expected the results folder {task.results}, found none of this batch there; put "
            "results on a disk that all machines share, or give a URL."
        )


@contextmanager
def _work_folder(task: Task) -> Iterator[Path]:
    """A folder of this try's own, gone afterwards."""
    base = task.scratch / "steps" if addresses.is_url(task.results) else Path(task.results) / WORK_FOLDER
    with work_folder(base, addresses.short_digest(task.step.key)) as folder:
        yield folder


def _carry_out(task: Task, work: Path, outcome: Outcome, stop: threading.Event) -> Outcome:
    with _log_file(task, work, outcome.log) as log, _before(task, work) as (capture, before):
        command = _Commands(task, work, capture, before)
        outcome.exit = _run(task, command.line(), work, log, stop)
        if outcome.exit == 0:
            result = command.result()
            outcome.figures = command.figures(result)
            return _put_in_place(task, result, replace(outcome, state="done", ended=time.time()))
        log.flush()
        outcome.state = "lost" if outcome.exit in _LOST else "failed"
        outcome.sentence = _last_words(Path(log.name), outcome.exit)
        return outcome


@contextmanager
def _log_file(task: Task, work: Path, name: str) -> Iterator[IO[bytes]]:
    """Where the command's words go; on a URL when it is over."""
    remote = addresses.is_url(task.results)
    path = work / "log" if remote else Path(task.results) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as log:
            yield log
    finally:
        if remote and path.exists():
            addresses.write_file(addresses.join(task.results, name), path.read_bytes())


@contextmanager
def _before(task: Task, work: Path) -> Iterator[tuple[Path, Path]]:
    """The capture on this machine, and the result of the step before."""
    before = Path(task.results, *task.step.needs[:1])
    if addresses.is_url(task.results) and task.step.needs:
        before = work / "before"
        addresses.fetch(addresses.join(task.results, task.step.needs[0]), before)
    if task.step.step != "export" and addresses.is_url(task.step.data):
        with fetched_capture(task.step.data, task.content, task.scratch) as capture:
            yield capture, before
    else:
        yield Path(task.step.data), before


class _Commands:
    """The command of each step, with the place of its result and its figures."""

    def __init__(self, task: Task, work: Path, capture: Path, before: Path):
        self.task, self.work, self.capture, self.before = task, work, capture, before
        self.words, self.out = list(task.step.words), work / "out"

    def line(self) -> list[str]:
        """Words of the command."""
        return getattr(self, f"_{self.task.step.step}")()

    def _program(self, name: str) -> list[str]:
        if name in self.task.programs:
            return list(self.task.programs[name])
        beside = Path(sys.executable).parent / name
        found = str(beside) if beside.is_file() else shutil.which(name)
        if found is None:
            raise WrongWorker(f"worker on {socket.gethostname()}: expected the command {name}, found none; install it.")
        return [found]

    def _fit(self) -> list[str]:
        return [*self._program("ns-hands"), "fit", str(self.capture), *self.words]

    def _train(self) -> list[str]:
        cut = self.words.index("--")
        method, *options = self.words[:cut]
        cache = self.work / "cache"
        if self.task.step.needs:
            shutil.copytree(self.before, cache, ignore=shutil.ignore_patterns(RECEIPT), dirs_exist_ok=True)
        return [
            *self._program("ns-train"), method, "--data", str(self.capture), "--output-dir", str(self.out),
            "--experiment-name", "run", "--timestamp", "run", "--vis", "tensorboard", *options, *self.words[cut + 1 :],
        ]  # fmt: skip

    def _eval(self) -> list[str]:
        self.out.mkdir()
        return [
            *self._program("ns-eval"), "--load-config", str(self.before / "config.yml"),
            "--output-path", str(self.out / "metrics.json"), "--render-output-path", str(self.out / "pictures"),
        ]  # fmt: skip

    def _export(self) -> list[str]:
        config = ["--load-config", str(self.before / "config.yml")]
        return [*self._program("ns-hands"), "export", *config, "--output-dir", str(self.out), *self.words]

    def result(self) -> Path:
        """The folder that the command has filled.

        Raises:
            HandsError: It ended well and left nothing.
        """
        if self.task.step.step == "fit":
            self.out.mkdir()
            for fit in (self.work / "cache").glob("*.npz"):
                fit.rename(self.out / fit.name)
        configs = list(self.out.glob("run/*/run/config.yml")) if self.task.step.step == "train" else []
        folder = configs[0].parent if configs else self.out
        if not folder.is_dir() or not any(folder.iterdir()):
            raise HandsError(f"{self.task.step.key}: expected a result, found none though the command ended well.")
        return folder

    def figures(self, result: Path) -> dict[str, float]:
        """What `ns-eval` measured."""
        if self.task.step.step != "eval":
            return {}
        try:
            found = json.loads((result / "metrics.json").read_text())["results"]
            return {name: float(value) for name, value in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HandsError(f"{self.task.step.key}: expected figures of ns-eval, found none ({error}).") from error


def _run(task: Task, command: list[str], work: Path, log: IO[bytes], stop: threading.Event) -> int:
    """Runs a command to its end; its status, or the number of the signal that killed it below zero."""
    threads = str(max(1, int(task.cpus)))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "NERFSTUDIO_HANDS_CACHE": str(work / "cache"),
        # In our cache, where nobody named another place.
        FOLDER_VARIABLE: str(weights_folder()),
        **task.environment,
    }
    leashed = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), *command]
    with subprocess.Popen(
        leashed, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=work
    ) as process:
        try:
            while True:
                try:
                    return process.wait(0.25)
                except subprocess.TimeoutExpired:
                    if stop.is_set():
                        raise Stopped from None
        finally:
            if process.poll() is None:
                process.terminate()


def _put_in_place(task: Task, result: Path, outcome: Outcome) -> Outcome:
    """The result with its receipt at its place; one that is there already, by the same inputs, is kept, as is its
    outcome: a worker that was taken for lost may have gone on."""
    receipt = {"inputs": task.step.inputs, "outcome": asdict(outcome)}
    (result / RECEIPT).write_text(json.dumps(receipt, indent=1))
    target = addresses.join(task.results, task.step.key)
    if addresses.is_url(task.results):
        addresses.send(result, target, last=RECEIPT)
        return outcome
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        result.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if (found := _found(task)) is not None:
            return found
        raise HandsError(
            f"{target}: expected no folder yet, found one that no step of this batch has made whole; move it away."
        ) from error
    return outcome


def _last_words(log: Path, status: int) -> str:
    """The sentence of a command that failed: its own, else the last line that it said."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    sentences = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if status < 0:
        return f"its process was killed by signal {-status}."
    return (sentences or lines or [f"exit status {status} without a word."])[-1][:1000]
