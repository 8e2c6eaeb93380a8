"""What is held out takes no part: change a picture, a mask, a landmark or a camera of it, and nothing that training
reads moves by a bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from held_out_room import CAMERAS, FRAMES, make_room, spoil

from nerfstudio_hands.dataparsers.layouts import read_capture
from nerfstudio_hands.fitting import HandFit, fit_capture, mask_refinement, pose_fit


@pytest.fixture
def quick_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits that end long before they are good; every part of them still runs."""
    for name in ("PLACING", "SHAPING", "FINISHING"):
        monkeypatch.setattr(mask_refinement, name, getattr(mask_refinement, name)[-1:])
    minimise = pose_fit.minimise
    monkeypatch.setattr(pose_fit, "minimise", lambda *args, iterations: minimise(*args, iterations=10))


def assert_same_fit(first: HandFit, second: HandFit, frames: list[int]) -> None:
    """What all frames share and the poses of some frames are the same to the last bit."""
    for name in ("shape", "displacement"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    for name, value in vars(first.pose[frames]).items():
        assert torch.equal(value, getattr(second.pose[frames], name)), name
    assert first.camera_rotation.keys() == second.camera_rotation.keys()
    for name, turn in first.camera_rotation.items():
        assert (turn == second.camera_rotation[name]).all(), name


def test_what_frames_share_is_fitted_on_training_frames_alone(quick_fit, tmp_path: Path):
    make_room(tmp_path)
    training = [0, 2]
    fit = fit_capture(read_capture(tmp_path), cameras=CAMERAS[:4], shape_frames=training)
    for camera in CAMERAS:
        spoil(tmp_path, FRAMES[1], camera)
    again = fit_capture(read_capture(tmp_path), cameras=CAMERAS[:4], shape_frames=training)
    assert_same_fit(fit, again, training)
    # The pose of the held-out frame is known from its own pictures, which are others now.
    assert fit.pose.valid.all() and again.pose.valid.all()
    assert not torch.equal(fit.pose.translation[1], again.pose.translation[1])
    assert fit.shape.any() and fit.displacement.any()
