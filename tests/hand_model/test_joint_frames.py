"""Frames of bones from joints alone."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.hand_model.bone_frames import bone_frames
from nerfstudio_hands.hand_model.joint_frames import joint_frames, resting_joints, skinned_by_frames
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes
from nerfstudio_hands.hand_model.joints import MANO_TO_JOINTS
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import PosedHand, pose_hand, rest_joints

HAND = default_hand("right")
REST = resting_joints(HAND)


def bent_hands(*, count: int = 8, shape: float = 0.0) -> PosedHand:
    """Hands whose fingers flex and spread, but do not twist."""
    generator = torch.Generator().manual_seed(2)
    angles = torch.zeros(count, 15, 3)
    angles[..., 0] = torch.rand(count, 15, generator=generator)
    angles[:, ::3, 1] = 0.2 * torch.randn(count, 5, generator=generator)
    local = angles_to_rotations(joint_axes(HAND), angles)
    orient, place = (torch.randn(count, 3, generator=generator) for _ in range(2))
    return pose_hand(HAND, orient, local, place, torch.full((1, HAND.num_shape), shape))


def test_joints_that_are_given_stay_and_bones_point_at_them():
    posed = bent_hands(shape=1.5)
    frames, joints = joint_frames(posed.keypoints, REST)
    assert torch.equal(joints, posed.keypoints)
    for mano, joint in enumerate(MANO_TO_JOINTS):
        if joint == 0:
            continue
        bone = torch.nn.functional.normalize(REST[joint + 1] - REST[joint], dim=0)
        ahead = torch.nn.functional.normalize(joints[:, joint + 1] - joints[:, joint], dim=-1)
        assert torch.allclose(frames[:, mano, :3, :3] @ bone, ahead, atol=1e-5)
        assert torch.allclose(frames[:, mano, :3, 3], joints[:, joint])
    assert torch.allclose(torch.linalg.det(frames[..., :3, :3]), torch.ones(8, 16), atol=1e-4)


@pytest.mark.parametrize("template_lengths", [False, True])
def test_frames_of_the_mean_hand_are_those_that_posed_it(template_lengths: bool):
    posed = bent_hands()
    frames, joints = joint_frames(posed.keypoints, REST, template_lengths=template_lengths)
    truth = bone_frames(posed.bone_transforms, rest_joints(HAND, torch.zeros(1, HAND.num_shape))[0])
    between = frames[..., :3, :3].mT @ truth[..., :3, :3]
    angle = torch.acos(((between.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1))
    # The thumb's saddle joint bends about an axis that also twists it.
    assert angle.median() < 0.02 and angle.max() < 0.6
    assert torch.allclose(joints, posed.keypoints, atol=3e-3)
    skin = skinned_by_frames(HAND.template, HAND.weights, REST, joints, frames)
    assert (skin - posed.vertices).norm(dim=-1).mean() < 3e-3


def test_a_hand_is_as_large_as_the_joints_that_it_is_laid_on():
    joints = 1.2 * bent_hands().keypoints
    frames, _ = joint_frames(joints, REST)
    skin = skinned_by_frames(HAND.template, HAND.weights, REST, joints, frames)
    assert (skin - 1.2 * bent_hands().vertices).norm(dim=-1).mean() < 3.6e-3
    # A single bone that is longer makes no other part of the hand larger.
    tip = joints.clone()
    tip[:, 8] += 0.5 * (joints[:, 8] - joints[:, 7])
    longer = skinned_by_frames(HAND.template, HAND.weights, REST, tip, joint_frames(tip, REST)[0])
    moved = (longer - skin).norm(dim=-1)
    of_end = HAND.weights[:, MANO_TO_JOINTS.index(7)] > 1e-3
    assert moved[:, ~of_end].max() < 1e-6 and moved[:, of_end].max() > 5e-3


def test_joints_that_are_no_hands_do_not_tear_it():
    joints = bent_hands().keypoints
    joints[:, 7] = joints[:, 6]
    skin = skinned_by_frames(HAND.template, HAND.weights, REST, joints, joint_frames(joints, REST)[0])
    assert skin.isfinite().all() and (skin - joints[:, :1]).norm(dim=-1).max() < 0.4


def test_with_lengths_of_the_template_bones_are_as_long_as_at_rest():
    _, joints = joint_frames(bent_hands(shape=2.0).keypoints, REST, template_lengths=True)
    for joint in (2, 3, 4, 10, 11, 12):
        length = (joints[:, joint] - joints[:, joint - 1]).norm(dim=-1)
        assert torch.allclose(length, (REST[joint] - REST[joint - 1]).norm().expand(8), atol=1e-5)
