"""What features of the skeleton keep and what they tell."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.fields.kinematic_features import (
    HAND_FEATURES,
    OBJECT_FEATURES,
    hand_features,
    object_features,
)
from nerfstudio_hands.hand_model import default_hand, pose_hand
from nerfstudio_hands.hand_model.bone_frames import bone_frames
from nerfstudio_hands.hand_model.model import rest_joints


def random_frames(*shape: int) -> torch.Tensor:
    count = torch.Size(shape).numel()
    frames = torch.eye(4).repeat(count, 1, 1)
    frames[:, :3, :3] = torch.from_numpy(Rotation.random(count, random_state=0).as_matrix()).float()
    frames[:, :3, 3] = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return frames.view(*shape, 4, 4)


def test_hand_features_are_the_inverse_transforms():
    points, bones = torch.randn(40, 3), random_frames(40, 16)
    found = hand_features(points[:, None], bones)[:, 0]
    assert found.shape == (40, HAND_FEATURES)
    assert torch.equal(found[:, :3], points)
    homogeneous = torch.nn.functional.pad(points, (0, 1), value=1.0)[:, None, :, None]
    expected = (torch.linalg.inv(bones.double()) @ homogeneous.double())[..., :3, 0]
    assert torch.allclose(found[:, 3:].view(-1, 16, 3).double(), expected, atol=1e-5)


def test_what_goes_with_a_bone_keeps_its_place_on_it():
    hand = default_hand("right")
    local = torch.randn(6, 15, 3, generator=torch.Generator().manual_seed(3)) * 0.4
    posed = pose_hand(hand, torch.randn(6, 3), local, torch.randn(6, 3), torch.zeros(hand.num_shape))
    rest = rest_joints(hand, torch.zeros(1, hand.num_shape))[0]
    bone = 5
    rigid = rest[bone] + torch.tensor([0.01, 0.02, -0.03])
    transform = posed.bone_transforms[:, bone]
    points = transform[:, :3, :3] @ rigid + transform[:, :3, 3]
    features = hand_features(points[:, None], bone_frames(posed.bone_transforms, rest))[:, 0, 3:].view(6, 16, 3)
    assert torch.allclose(features[:, bone], (rigid - rest[bone]).expand(6, 3), atol=1e-5)
    assert features[:, bone + 1].std(dim=0).max() > 1e-3


def test_object_features():
    points, held, wrist, joints = torch.randn(10, 3), random_frames(10), random_frames(10), torch.randn(10, 21, 3)
    found = object_features(points[:, None], torch.stack([held, wrist], 1), joints)[:, 0]
    assert found.shape == (10, OBJECT_FEATURES)
    back = (held[:, :3, :3] @ found[:, 3:6, None])[..., 0] + held[:, :3, 3]
    assert torch.allclose(back, points, atol=1e-5)
    back = (wrist[:, :3, :3] @ found[:, 6:9, None])[..., 0] + wrist[:, :3, 3]
    assert torch.allclose(back, points, atol=1e-5)
    assert torch.allclose(found[:, 9:].view(10, 21, 3) + joints, points[:, None].expand(-1, 21, -1), atol=1e-6)


def test_many_points_of_a_hand_are_seen_as_each_of_them():
    points, bones, joints = torch.randn(3, 7, 3), random_frames(3, 16), torch.randn(3, 21, 3)
    together = hand_features(points, bones)
    for hand in range(3):
        for point in range(7):
            alone = hand_features(points[hand, point][None, None], bones[hand : hand + 1])[0, 0]
            assert torch.allclose(together[hand, point], alone, atol=1e-6)
    assert object_features(points, bones[:, :2], joints).shape == (3, 7, OBJECT_FEATURES)
