"""Commands in processes of their own that begin with everything imported, which takes longer than what is tested."""

from __future__ import annotations

import multiprocessing
import os
import sys
from importlib import import_module
from pathlib import Path

ENTRIES = {
    "ns-train": "nerfstudio.scripts.train:entrypoint",
    "ns-viewer": "nerfstudio.scripts.viewer.run_viewer:entrypoint",
    "ns-hands": "nerfstudio_hands.cli.main:main",
}

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [*(entry.split(":")[0] for entry in ENTRIES.values()), "nerfstudio_hands.method_configs.hand_uvnerf"]
)


def start_command(*words: str | Path, log: Path) -> multiprocessing.process.BaseProcess:
    """Starts a command of `ENTRIES`; what it prints goes into a file."""
    process = _context.Process(target=_run, args=([str(word) for word in words], log, dict(os.environ)))
    process.start()
    return process


def _run(words: list[str], log: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = words
    module, name = ENTRIES[words[0]].split(":")
    getattr(import_module(module), name)()
