"""States, features and joints: round trips, invariance, and joints against the hand model's own."""

from __future__ import annotations

import pytest
import torch
from helpers.made_up_motion import swinging
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model import default_hand, mirror_rotations, pose_hand
from nerfstudio_hands.motion.forecasting.representations import HandAngles, JointPositions, join_state, split_state
from nerfstudio_hands.motion.forecasting.skeleton import Skeleton
from nerfstudio_hands.motion.forecasting.track_states import HandStates

RIGHT = default_hand("right")
ANGLES = HandAngles(Skeleton.of(RIGHT))


def states() -> torch.Tensor:
    return HandStates.of(RIGHT).states(swinging().pose[:, 0])


def test_joints_are_those_of_the_posed_hand() -> None:
    pose = swinging().pose[:, 0]
    posed = pose_hand(RIGHT, pose.global_orient, pose.local_rotations, pose.translation, torch.zeros(1)).keypoints
    found = ANGLES.joints(states())
    tips = [4, 8, 12, 16, 20]
    others = [joint for joint in range(21) if joint not in tips]
    torch.testing.assert_close(found[:, others], posed[:, others], atol=1e-5, rtol=0)
    # Skin blends several bones at the tips, a skeleton does not.
    assert (found - posed)[:, tips].norm(dim=-1).max() < 2e-3


@pytest.mark.parametrize(
    "representation",
    [ANGLES, JointPositions(21), JointPositions(21, absolute=True)],
    ids=["angles", "relative", "absolute"],
)
def test_features_give_the_states_back(representation) -> None:
    given = states() if representation is ANGLES else representation.states(ANGLES.joints(states()))
    anchor = given[30]
    features = representation.encode(given, anchor)
    assert features.shape == (len(given), representation.width)
    torch.testing.assert_close(representation.decode(features, anchor), given, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        representation.joints(given).diff(dim=0), ANGLES.joints(states()).diff(dim=0), atol=1e-5, rtol=0
    ) if getattr(representation, "absolute", True) else None


def test_features_do_not_know_where_in_the_world_a_hand_is() -> None:
    given = states()
    turn = torch.from_numpy(Rotation.from_rotvec([0.4, -1.2, 0.3]).as_matrix()).float()
    angles, orientation, place = split_state(given)
    moved = join_state(angles, turn @ orientation, place @ turn.T + torch.tensor([1.0, -2.0, 0.5]))
    torch.testing.assert_close(ANGLES.encode(moved, moved[9]), ANGLES.encode(given, given[9]), atol=2e-5, rtol=0)


def test_a_left_hand_has_the_states_of_its_mirror_image() -> None:
    pose = swinging(side="left").pose[:, 0]
    mirrored = swinging(side="left").pose[:, 0]
    mirrored.global_orient = mirror_rotations(pose.global_orient)
    mirrored.local_rotations = mirror_rotations(pose.local_rotations)
    mirrored.translation = pose.translation * torch.tensor([-1.0, 1.0, 1.0])
    left, right = HandStates.of(default_hand("left")), HandStates.of(RIGHT)
    torch.testing.assert_close(left.states(pose), right.states(mirrored), atol=1e-5, rtol=0)
    again = left.pose(left.states(pose))
    torch.testing.assert_close(again.local_rotations, pose.local_rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.global_orient, pose.global_orient, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.translation, pose.translation, atol=1e-5, rtol=0)
