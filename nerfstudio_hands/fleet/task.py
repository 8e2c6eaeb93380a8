"""What a worker is told of a step."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nerfstudio_hands.fleet.step import Step

PACKAGES = ("nerfstudio-hands", "nerfstudio", "torch", "numpy")
"""Whose versions figures depend on."""


@dataclass(frozen=True)
class Task:
    """A step with all that its worker needs.

    Attributes:
        step: The step.
        results: Folder or URL of all results.
        results_id: What stands in the results' own file, by which a worker knows the folder.
        scratch: Folder on the worker for copies and what is half made.
        version: Of nerfstudio-hands that the driver has.
        content: Digest of the capture's files that the driver has found.
        attempt: How often the step has been tried, from 1.
        cpus: Threads for the command's libraries.
        environment: Variables of the command's on top of the worker's.
        programs: Commands to run instead of those installed, by their names.
    """

    step: Step
    results: str
    results_id: str
    scratch: Path
    version: str
    content: str
    attempt: int = 1
    cpus: float = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def default_scratch() -> Path:
    """A folder of the user's among the temporary ones, at the same place on every machine."""
    return Path(tempfile.gettempdir()) / f"nerfstudio-hands-{os.getuid()}"


@lru_cache
def versions() -> dict[str, str]:
    """Versions of what is installed here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
