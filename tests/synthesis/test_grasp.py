"""A hand that holds something: fingers touch it, nothing enters it, on either side."""

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.hand_model.joint_limits import FLEXION, joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis.grasp import find_grasp
from nerfstudio_hands.synthesis.grasps.search import CLEARANCE
from nerfstudio_hands.synthesis.held_object import make_object
from nerfstudio_hands.synthesis.physique import PersonalHand

SHAPE = torch.tensor([0.5, -0.4, 0.8])


def _posed(side: str, local) -> np.ndarray:
    none = torch.zeros(1, 3)
    return pose_hand(default_hand(side), none, local[None], none, SHAPE).vertices[0].double().numpy()


@pytest.fixture(scope="module")
def hold():
    held = make_object("cylinder", 2)
    return held, find_grasp(PersonalHand(default_hand("right"), SHAPE), held)


def _distance(held, pose, points) -> np.ndarray:
    """Signed distance by trimesh, which takes no part in the grasp; positive outside."""
    own = (points - pose[:3, 3]) @ pose[:3, :3]
    mesh = trimesh.Trimesh(held.vertices, held.faces, process=False)
    near = np.flatnonzero((np.abs(own) < np.abs(held.vertices).max(0) + 0.02).all(1))
    distance = np.full(len(own), np.inf)
    distance[near] = -trimesh.proximity.signed_distance(mesh, own[near])
    return distance


def test_every_finger_touches_and_none_enters(hold):
    held, grasp = hold
    right = default_hand("right")
    distance = _distance(held, grasp.object_to_rest, _posed("right", grasp.local_rotations))
    assert distance.min() > 0
    joint = right.weights.numpy().argmax(1)
    for first in range(1, 16, 3):
        assert distance[(joint >= first) & (joint < first + 3)].min() < CLEARANCE + 1.5e-3
    assert distance[joint == 0].min() < CLEARANCE + 3e-3
    angles = rotations_to_angles(joint_axes(right), grasp.local_rotations)
    assert (angles[..., FLEXION] <= joint_limits(right)[:, FLEXION, 1] + 1e-4).all()


def test_a_left_hand_holds_it_in_the_mirror(hold):
    held, grasp = hold
    left = grasp.mirrored()
    np.testing.assert_allclose(np.linalg.det(left.object_to_rest), 1)
    assert _distance(held, left.object_to_rest, _posed("left", left.local_rotations)).min() > 0
    mirrored = _posed("right", grasp.local_rotations) * [-1, 1, 1]
    np.testing.assert_allclose(_posed("left", left.local_rotations), mirrored, atol=1e-5)
