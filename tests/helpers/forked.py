"""Processes that begin with everything imported, which takes longer than what is tested in them."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ENTRIES = {
    "ns-train": "nerfstudio.scripts.train:entrypoint",
    "ns-viewer": "nerfstudio.scripts.viewer.run_viewer:entrypoint",
    "ns-hands": "nerfstudio_hands.cli.main:main",
}

# They are forked off a process that has done nothing else: this one has threads, which a fork would leave behind.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload([entry.split(":")[0] for entry in ENTRIES.values()])


def start(
    function: Callable[..., None], *arguments: Any, log: Path, environment: dict[str, str] | None = None
) -> BaseProcess:
    """Starts a function of a module in a process; what it prints goes into a file.

    Args:
        function: What is called.
        arguments: With what; they can be pickled.
        log: The file.
        environment: What differs from this process's environment.
    """
    variables = {**os.environ, **(environment or {})}
    process = context.Process(target=_run, args=(function, arguments, log, variables))
    process.start()
    return process


def start_command(*words: str | Path, log: Path) -> BaseProcess:
    """Starts a command of `ENTRIES` likewise."""
    return start(_command, [str(word) for word in words], log=log)


def _run(function: Callable[..., None], arguments: tuple[Any, ...], log: Path, environment: dict[str, str]) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def _command(words: list[str]) -> None:
    sys.argv = words
    module, name = ENTRIES[words[0]].split(":")
    getattr(import_module(module), name)()
