"""`ns-hands turntable` and the spiral of `ns-hands animate`, looked at picture by picture."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from nerfstudio_hands.cli import trained_run
from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.cli.turntable import turntable
from nerfstudio_hands.errors import HandsError

LOAD_RUN = trained_run.load_run


@pytest.fixture(autouse=True)
def loaded_once(tiny_run: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not hasattr(request.module, "loaded"):
        request.module.loaded = LOAD_RUN(tiny_run, quick=True)
    monkeypatch.setattr(trained_run, "load_run", lambda *_, **__: request.module.loaded)


def images_of(path: Path) -> np.ndarray:
    frames = imageio_ffmpeg.read_frames(str(path))
    width, height = next(frames)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames])


def shows_a_whole_hand(picture: np.ndarray) -> bool:
    """Something bright, neither a speck nor all over, that the border does not cut."""
    lit = picture.max(axis=-1) > 50
    border = np.concatenate([lit[0], lit[-1], lit[:, 0], lit[:, -1]])
    return 0.02 < lit.mean() < 0.7 and border.mean() < 0.02


def test_a_turntable_shows_the_hand_from_all_sides(tiny_run: Path, tmp_path: Path) -> None:
    turntable(tiny_run, tmp_path / "t.mp4", num_frames=6, width=80, height=60)
    pictures = images_of(tmp_path / "t.mp4")
    assert pictures.shape == (6, 60, 80, 3) and all(map(shows_a_whole_hand, pictures))
    moved = [(abs(pictures[k].astype(int) - pictures[k - 1]).max(axis=-1) > 40).mean() for k in range(6)]
    assert min(moved) > 0.02
    with pytest.raises(HandsError, match="t.mp4: expected a new video file"):
        turntable(tiny_run, tmp_path / "t.mp4")
    turntable(tiny_run, tmp_path / "t.mp4", num_frames=1, width=40, height=30, overwrite=True)
    assert len(images_of(tmp_path / "t.mp4")) == 1


def test_a_spiral_of_one_pose_as_the_documentation_has_it(tiny_run: Path, tmp_path: Path) -> None:
    animate(tiny_run, tmp_path / "s.mp4", spiral=True, seconds=3, fps=2, size=80)
    pictures = images_of(tmp_path / "s.mp4")
    assert len(pictures) == 6 and all(map(shows_a_whole_hand, pictures))


def test_frames_that_a_run_lacks(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="--frame: expected a number from 0 to 0, found 3"):
        turntable(tiny_run, tmp_path / "t.mp4", frame=3)


def test_runs_are_drawn_in_layers_where_that_is_asked(tiny_run: Path) -> None:
    assert trained_run.load_run(tiny_run)[1].model.draws_layers
    assert not LOAD_RUN(tiny_run)[1].model.draws_layers
