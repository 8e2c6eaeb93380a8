"""Packages of the Python package index, downloaded by pip, which checks their hashes, and never installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

TIMEOUT_S = 600


def download_package(
    requirement: str, sha256: str, folder: Path, *, options: Sequence[str], suffix: str
) -> Path | None:
    """Download one file of the package index.

    Args:
        requirement: Package and version, `name==1.0`.
        sha256: Hash of the file.
        folder: Where it is put.
        options: Options of `pip download` that choose the file: `--no-binary :all:`, or a platform.
        suffix: What the file's name ends with.

    Returns:
        The file; None where no pip could reach the index or the hash was another one.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = ["download", "--no-deps", "--require-hashes", "--timeout", "15", "--retries", "2", *options]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirements)]
    for pip in pip_commands(folder):
        try:
            subprocess.run([*pip, *command], check=True, timeout=TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError):
            continue
        return next(folder.glob(f"*{suffix}"))
    return None


def pip_commands(folder: Path) -> Iterator[list[str]]:
    """Ways to run pip: an environment made by uv holds none, so uv or a throw-away environment lends one."""
    if importlib.util.find_spec("pip") is not None:
        yield [sys.executable, "-m", "pip"]
    if shutil.which("uv") is not None:
        yield ["uv", "tool", "run", "pip"]
    try:
        venv.create(folder / "environment", with_pip=True)
    except (subprocess.CalledProcessError, OSError):
        return
    yield [str(folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"), "-m", "pip"]
