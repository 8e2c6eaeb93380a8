from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.fitting import FitOptions, HandFit, fit_capture

TAKE_PART = ("00", "01", "02", "04", "05", "06", "07", "13", "15")
"""Cameras with what is wrong in this capture, and three good ones: what is found of fourteen is found of nine."""


@pytest.fixture(scope="session")
def demo_fit(fmhr_demo: Path, shared_folder: Path) -> HandFit:
    """The fit of the real capture to the cameras that take part."""
    path = shared_folder / "demo-fit.npz"
    # The first worker that needs it fits, the other one waits.
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            fit_capture(read_capture_room(fmhr_demo), FitOptions(TAKE_PART)).save(path)
    return HandFit.load(path)
