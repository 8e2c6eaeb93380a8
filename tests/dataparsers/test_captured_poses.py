"""Angles of captured hands, from their joints in space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.dataparsers import captured_poses
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import bend_fingers


def test_the_fingers_of_a_capture_are_as_bent_as_they_were(tmp_path, monkeypatch):
    hand = default_hand("right")
    flexion = torch.linspace(0.1, 0.9, 6)
    pose = HandPose.rest(1, (6,))
    for frame, bend in enumerate(flexion):
        pose.local_rotations[frame, 0] = bend_fingers(hand, bend.expand(5), torch.zeros(5))
    pose.translation[:, 0, 2] = 0.5
    pose.valid[4] = False
    joints = torch.full((6, 2, 21, 3), torch.nan)
    joints[:, 1] = HandSurface((hand,)).pose(pose, torch.zeros(hand.num_shape)).keypoints[:, 0]
    joints[4] = torch.nan
    camera = CaptureCamera("400002", np.diag([500.0, 500.0, 1.0]), np.eye(4), 334, 512)
    frames = [f"ROM01/{frame}" for frame in range(6)]
    capture = Capture(Path("capture"), [camera], frames, {}, {}, None, [], stored_keypoints=joints.double().numpy())
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path))
    monkeypatch.setattr(captured_poses, "read_interhand", lambda folder: capture)
    found = captured_poses.captured_angles([Path("capture")], "default")
    assert found.shape == (5, 15, 3) and torch.isfinite(found).all()
    # The middle joints of the four fingers flex about one axis, so joints say how far.
    wanted = flexion[[0, 1, 2, 3, 5]]
    middle = found[:, [1, 4, 7, 10], 0]
    true = torch.stack([bend_fingers(hand, bend.expand(5), torch.zeros(5)) for bend in wanted])
    axes = captured_poses.joint_axes(hand)
    expected = captured_poses.rotations_to_angles(axes, true)[:, [1, 4, 7, 10], 0]
    assert (middle - expected).abs().mean() < 0.06 and middle[-1].mean() - middle[0].mean() > 0.3
