"""The GPU of a machine: whether torch can use it, and when it has done what it was told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import torch

NEEDED_DRIVERS = {"13": "580", "12": "525"}
"""Driver that each major version of CUDA needs (NVIDIA, "CUDA compatibility")."""


def finished(device: torch.device | str) -> float:
    """Seconds of a clock when all that a device was told is done."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def unused_gpu() -> str | None:
    """One sentence if this machine has an NVIDIA GPU that the installed torch cannot use, and nobody has hidden it."""
    if torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    driver = installed_driver()
    if driver is None:
        return None
    built = torch.version.cuda
    if built is None:
        why = f"torch {torch.__version__} is built without CUDA: install a build with it"
    else:
        needed = NEEDED_DRIVERS.get(built.split(".")[0], "a newer one")
        why = (
            f"torch {torch.__version__} is built for CUDA {built}, which needs driver {needed}: update the driver, or "
            "install a torch for an older CUDA (docs/cuda.md)"
        )
    return f"This machine has an NVIDIA GPU, driver {driver}, that is not used, because {why}."


def installed_driver(system: Path = Path("/")) -> str | None:
    """Version of NVIDIA's driver, "of unknown version" where it does not say; None where there is no GPU of theirs.

    Args:
        system: Root of the file system.
    """
    if command := shutil.which("nvidia-smi"):
        query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            told = subprocess.run(query, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            told = None
        if told is not None and told.returncode == 0 and told.stdout.strip():
            return told.stdout.split()[0]
    if not any((system / "dev").glob("nvidia[0-9]*")):
        return None
    version = system / "proc" / "driver" / "nvidia" / "version"
    found = re.search(r"\b(\d{3}\.[\d.]+)\b", version.read_text()) if version.is_file() else None
    return found[1] if found else "of unknown version"
