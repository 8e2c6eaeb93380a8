from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.fitting import FitOptions, HandFit, fit_capture

HELD_OUT = ("03", "10")


@pytest.fixture(scope="session")
def demo_fit(fmhr_demo: Path, shared_folder: Path) -> HandFit:
    """The fit of the real capture, without the cameras that are held out."""
    path = shared_folder / "demo-fit.npz"
    # The first worker that needs it fits, the other one waits.
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            capture = read_capture_room(fmhr_demo)
            cameras = [name for name in capture.cameras_with_images if name not in HELD_OUT]
            fit_capture(capture, FitOptions(cameras)).save(path)
    return HandFit.load(path)
