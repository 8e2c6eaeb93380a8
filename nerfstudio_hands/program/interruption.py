"""Ctrl-C and SIGTERM: both end a training in order, with the state saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import join
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOADING = ("--load-dir", "--load-step", "--load-checkpoint")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which containers and schedulers send before they kill."""


def exit_status(stop: KeyboardInterrupt) -> int:
    """The status that shells expect: 128 and the number of the signal."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises :class:`Terminated`, as Ctrl-C raises KeyboardInterrupt. Without effect off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Neither signal counts: a second Ctrl-C would break off what the first one began to save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


def resume_command(arguments: list[str], method: str, checkpoints: Path) -> str:
    """The command that goes on where a training stopped.

    Args:
        arguments: `sys.argv` of the training.
        method: Its method.
        checkpoints: Folder of its checkpoints.
    """
    program, *given = arguments
    if Path(program).stem != "ns-train" or not given or given[0] != method:
        return join(["ns-train", method, "--load-dir", str(checkpoints)])
    kept: list[str] = []
    rest = iter(given[1:])
    for argument in rest:
        if argument.replace("_", "-") in LOADING:
            next(rest, None)
        elif argument.split("=")[0].replace("_", "-") not in LOADING:
            kept.append(argument)
    return join(["ns-train", method, "--load-dir", str(checkpoints), *kept])
