"""The mean hand on a seen skeleton."""

from __future__ import annotations

import torch

from nerfstudio_hands.estimators.hand_object.mean_hand import MeanHand
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model.joint_frames import joint_frames, resting_joints
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand

HAND = default_hand("right")
REST = resting_joints(HAND)


def test_points_over_and_under_the_skin_of_a_resting_hand():
    place = torch.tensor([[0.1, -0.2, 0.5], [0.0, 0.1, 0.7]])
    joints = REST + place[:, None]
    # Of the palm's middle, where two millimeters deep is not near to any other part.
    vertex = (HAND.template - (REST[0] + REST[9]) / 2).norm(dim=-1).argsort()[:100]
    normal = vertex_normals(HAND.template[None], HAND.faces)[0, vertex]
    deep = torch.tensor([0.004, 0.0, -0.002])
    points = (HAND.template[vertex] + deep[:, None, None] * normal).flatten(0, 1)
    found = MeanHand.of(HAND).distances(joints, joint_frames(joints, REST)[0], points + place[:, None])
    over, on, under = found.unflatten(1, (3, 100)).unbind(1)
    assert torch.allclose(over, torch.full_like(over, 0.004), atol=5e-4) and on.abs().max() < 1e-5
    assert torch.allclose(under, torch.full_like(under, -0.002), atol=5e-4)


def test_where_fingers_cross_it_is_inside():
    """A point in the part that two fingers have in common."""
    turns = torch.zeros(1, 15, 3)
    keypoints = pose_hand(HAND, torch.zeros(1, 3), turns, torch.zeros(1, 3), torch.zeros(1)).keypoints
    joints = keypoints.clone()
    # The middle finger in the index finger's place, a little aside.
    joints[:, 9:13] = keypoints[:, 5:9] + torch.tensor([0.0, 0.0, 0.004])
    middle = (joints[:, 7] + joints[:, 11]) / 2
    frames, _ = joint_frames(joints, REST)
    assert float(MeanHand.of(HAND).distances(joints, frames, middle[:, None])) < -0.002
