"""The frame of a hand's joints."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.estimators.joint_frame import frame_of, reference_joints
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.hand_model.joint_frames import resting_joints

REST = resting_joints(default_hand("right"))


def placed(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A resting hand of several sizes anywhere: joints, rotations and sizes."""
    turns = torch.from_numpy(Rotation.random(count, random_state=3).as_matrix()).float()
    sizes = torch.linspace(0.7, 1.4, count)
    joints = sizes[:, None, None] * REST @ turns.mT + torch.linspace(-1, 1, count)[:, None, None]
    return joints, turns, sizes


def test_frames_take_place_turn_and_size_out():
    joints, turns, sizes = placed(6)
    frame = frame_of(reference_joints(REST), joints, torch.ones(6, 21, dtype=torch.bool))
    torch.testing.assert_close(frame.rotation, turns, atol=1e-4, rtol=0)
    torch.testing.assert_close(frame.scale, 0.1 * sizes, atol=1e-5, rtol=0)
    inside = frame.to_frame(joints)
    torch.testing.assert_close(inside, reference_joints(REST).expand(6, -1, -1), atol=1e-3, rtol=0)
    torch.testing.assert_close(frame.to_world(inside), joints, atol=1e-5, rtol=0)


def test_outliers_and_absent_joints_hardly_turn_the_frame():
    joints, turns, _ = placed(6)
    present = torch.ones(6, 21, dtype=torch.bool)
    present[:, [5, 7, 20]] = False
    joints[:, 7] = torch.nan
    joints[:, 9] += 0.15
    joints[:, 12] -= 0.1
    frame = frame_of(reference_joints(REST), joints, present)
    angle = torch.from_numpy(Rotation.from_matrix(frame.rotation.mT @ turns).magnitude()).rad2deg()
    assert angle.max() < 3
