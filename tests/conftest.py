"""Fixtures that several tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# The commands of this environment, whether or not somebody has activated it.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def fmhr_demo() -> Path:
    """The real 16-camera capture, used in place; tests that need it are skipped where it is absent."""
    scan = REPOSITORY.parent / "shared" / "captures" / "fmhr-demo" / "1"
    if not scan.is_dir():
        pytest.skip(f"the real capture is not at {scan}")
    return scan


@pytest.fixture(scope="session")
def demo_capture(repository: Path) -> Path:
    """The synthetic capture that ships with the project."""
    return repository / "data" / "synthetic-hand" / "1"


@pytest.fixture(scope="session", autouse=True)
def fit_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fits made by tests are shared among them and kept out of the user's cache."""
    folder = tmp_path_factory.mktemp("fits")
    os.environ["NERFSTUDIO_HANDS_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(demo_capture: Path, fit_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.yml of a run of `ns-train hand-uvnerf` that saw sixty small batches."""
    output = tmp_path_factory.mktemp("runs")
    subprocess.run(
        [
            "ns-train", "hand-uvnerf", "--data", str(demo_capture), "--output-dir", str(output),
            "--experiment-name", "tiny", "--timestamp", "run", "--max-num-iterations", "60",
            "--steps-per-save", "30", "--vis", "tensorboard",
            "--pipeline.datamanager.train-num-rays-per-batch", "256", "hands-data", "--resolution-scale", "0.5",
        ],
        check=True,
    )  # fmt: skip
    return output / "tiny" / "hand-uvnerf" / "run" / "config.yml"
