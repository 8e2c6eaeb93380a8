"""Videos that are broken off."""

from __future__ import annotations

import signal
from pathlib import Path

import mediapy
import numpy as np
import pytest

from nerfstudio_hands.video.writer import write_video


def test_ctrl_c_that_stops_ffmpeg_too_is_no_fault_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers, enter = [], mediapy.VideoWriter.__enter__
    monkeypatch.setattr(mediapy.VideoWriter, "__enter__", lambda self: writers.append(self) or enter(self))

    def pictures():
        yield np.zeros((32, 32, 3), np.uint8)
        # A terminal sends the signal to every process of the command.
        writers[0]._proc.send_signal(signal.SIGINT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", pictures(), width=32, height=32, count=2, fps=5)
    assert not list(tmp_path.iterdir())
