"""Bone frames from joints against those of the pose that made the joints."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.hand_model import default_hand, pose_hand
from nerfstudio_hands.hand_model.inverse_kinematics import (
    bone_frames,
    bone_frames_from_joints,
    rest_keypoints,
)
from nerfstudio_hands.hand_model.joint_limits import joint_axes
from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.hand_model.model import rest_joints


@pytest.mark.parametrize("side", ["left", "right"])
def test_bent_and_spread_fingers_come_back(side):
    hand = default_hand(side).to(dtype=torch.float64)
    shape = torch.zeros(hand.num_shape, dtype=torch.float64)  # The axes without twist are those of the mean shape.
    generator = torch.Generator().manual_seed(1)
    angles = torch.rand(20, 15, 3, generator=generator, dtype=torch.float64) * 2 - 0.7
    angles[..., 2] = 0  # No twist: joints do not show it.
    axes = joint_axes(hand)
    posed = pose_hand(
        hand,
        torch.randn(20, 3, generator=generator, dtype=torch.float64),
        torch.einsum("bja,jac->bjc", angles, axes),
        torch.randn(20, 3, generator=generator, dtype=torch.float64),
        shape,
    )
    true = bone_frames(posed.bone_transforms, rest_joints(hand, shape[None])[0])
    found = bone_frames_from_joints(posed.keypoints, rest_keypoints(hand, shape), hand.parents)
    assert torch.allclose(found, true, atol=1e-6)


def test_any_joints_lie_on_the_axes_of_their_bones():
    hand = default_hand("right")
    rest = rest_keypoints(hand, torch.zeros(hand.num_shape))
    joints = rest + torch.randn(50, 21, 3, generator=torch.Generator().manual_seed(2)) * 0.03
    frames = bone_frames_from_joints(joints, rest, hand.parents)
    turns = frames[..., :3, :3]
    assert torch.allclose(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-4)
    assert torch.allclose(torch.det(turns), torch.ones(50, 16), atol=1e-4)
    for finger, first in enumerate((13, 1, 4, 10, 7)):
        for bone, child in enumerate(range(4 * finger + 2, 4 * finger + 5)):
            frame = frames[:, first + bone]
            joint = JOINT_PARENTS[child]
            local = (joints[:, child] - frame[:, :3, 3])[:, None] @ frame[:, :3, :3]
            along = torch.nn.functional.normalize(rest[child] - rest[joint], dim=-1)
            length = (joints[:, child] - joints[:, joint]).norm(dim=-1, keepdim=True)
            assert torch.allclose(local[:, 0], along * length, atol=1e-5)
