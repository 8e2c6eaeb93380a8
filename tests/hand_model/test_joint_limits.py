"""Anatomical axes, by what happens to fingertips when a joint turns."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model import FINGERS, SIDES, default_hand, mirror_rotations, pose_hand
from nerfstudio_hands.hand_model.joint_limits import (
    FLEXION,
    SPREAD,
    TWIST,
    angles_to_rotations,
    bend_fingers,
    joint_axes,
    joint_limits,
    rotations_to_angles,
)
from nerfstudio_hands.hand_model.joints import MANO_FINGERS, TIP_JOINTS


def keypoints(hand, local: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros(1, 3)
    return pose_hand(hand, zero, local[None], zero, torch.zeros(10)).keypoints[0]


def turned(hand, finger: str, joint: int, kind: int, angle: float) -> torch.Tensor:
    angles = torch.zeros(15, 3)
    angles[3 * MANO_FINGERS.index(finger) + joint, kind] = angle
    return keypoints(hand, angles_to_rotations(joint_axes(hand), angles))


@pytest.mark.parametrize("side", SIDES)
def test_axes_are_right_handed_frames_along_the_bones(side: str) -> None:
    hand = default_hand(side)
    axes = joint_axes(hand)
    torch.testing.assert_close(axes @ axes.mT, torch.eye(3).expand(15, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(15))
    for finger in FINGERS:
        still, twisted = keypoints(hand, torch.zeros(15, 3)), turned(hand, finger, 2, TWIST, 0.5)
        # Twisting the last bone leaves its tip where it is.
        tip = TIP_JOINTS[FINGERS.index(finger)]
        torch.testing.assert_close(still[tip], twisted[tip], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("finger", FINGERS[1:])
@pytest.mark.parametrize("joint", [0, 1, 2])
def test_flexion_brings_the_tip_to_the_palm(side: str, finger: str, joint: int) -> None:
    hand, tip = default_hand(side), TIP_JOINTS[FINGERS.index(finger)]
    still = keypoints(hand, torch.zeros(15, 3))
    move = turned(hand, finger, joint, FLEXION, 0.2)[tip] - still[tip]
    # The palm faces -y in the template's frame.
    assert move[1] < -0.002
    assert move[1].abs() > 2 * move[2].abs()


@pytest.mark.parametrize("side", SIDES)
def test_thumb_flexion_brings_it_to_the_other_fingers_and_spread_away_from_the_palm(side: str) -> None:
    hand = default_hand(side)
    still = keypoints(hand, torch.zeros(15, 3))
    for joint in (0, 1, 2):
        bent = turned(hand, "thumb", joint, FLEXION, 0.3)
        pinky_base = still[17]
        assert torch.dist(bent[4], pinky_base) < torch.dist(still[4], pinky_base) - 0.001
    assert turned(hand, "thumb", 0, SPREAD, 0.3)[4, 1] < still[4, 1] - 0.005


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("finger", FINGERS[1:])
def test_spread_moves_the_finger_to_the_thumb(side: str, finger: str) -> None:
    hand, tip = default_hand(side), TIP_JOINTS[FINGERS.index(finger)]
    still = keypoints(hand, torch.zeros(15, 3))
    move = turned(hand, finger, 0, SPREAD, 0.2)[tip] - still[tip]
    # The thumb's side is +z in the template's frame of either hand.
    assert move[2] > 0.005
    assert move[2].abs() > 2 * move[1].abs()


def test_the_same_angles_are_the_same_gesture_on_both_hands() -> None:
    left, right = default_hand("left"), default_hand("right")
    angles = 0.5 * torch.randn(15, 3)
    local = angles_to_rotations(joint_axes(right), angles)
    torch.testing.assert_close(angles_to_rotations(joint_axes(left), angles), mirror_rotations(local))
    torch.testing.assert_close(joint_limits(left), joint_limits(right))


def test_angles_and_rotations_round_trip() -> None:
    axes = joint_axes(default_hand("right"))
    angles = torch.randn(4, 2, 15, 3)
    rotations = angles_to_rotations(axes, angles)
    torch.testing.assert_close(rotations_to_angles(axes, rotations), angles, atol=1e-5, rtol=0)
    # The angle of a single-axis turn is the angle of the rotation.
    torch.testing.assert_close(rotations.norm(dim=-1), angles.norm(dim=-1))


def test_axes_turn_with_the_rest_pose() -> None:
    hand = default_hand("right").to(dtype=torch.float64)
    rotation = torch.from_numpy(Rotation.from_rotvec([0.4, 1.2, -0.7]).as_matrix())
    rotated = dataclasses.replace(hand, template=hand.template @ rotation.T)
    torch.testing.assert_close(joint_axes(rotated), joint_axes(hand) @ rotation.T)
    torch.testing.assert_close(joint_limits(rotated), joint_limits(hand))


def test_limits_hold_the_rest_pose_and_shift_with_it() -> None:
    hand = default_hand("right")
    limits = joint_limits(hand)
    assert (limits[..., 0] <= 0).all() and (limits[..., 1] >= 0).all()
    # A rest pose bent by 30 degrees in one joint has 30 degrees less to go there.
    joint = 3 * MANO_FINGERS.index("ring") + 1
    angles = torch.zeros(15, 3)
    angles[joint, FLEXION] = math.radians(30)
    zero = torch.zeros(1, 3)
    local = angles_to_rotations(joint_axes(hand), angles)
    bent_template = pose_hand(hand, zero, local[None], zero, torch.zeros(10)).vertices[0]
    bent = joint_limits(dataclasses.replace(hand, template=bent_template))
    assert abs(math.degrees(limits[joint, FLEXION, 1] - bent[joint, FLEXION, 1]) - 30) < 5


@pytest.mark.parametrize("side", SIDES)
def test_whole_fingers_bend_within_the_limits(side: str) -> None:
    hand = default_hand(side)
    limits = joint_limits(hand)
    local = bend_fingers(hand, torch.full((2, 5), 5.0), torch.full((2, 5), -5.0))
    angles = rotations_to_angles(joint_axes(hand), local)
    assert (angles <= limits[..., 1] + 1e-5).all() and (angles >= limits[..., 0] - 1e-5).all()
    fist = keypoints(hand, bend_fingers(hand, torch.full((5,), 1.4), torch.zeros(5)))
    still = keypoints(hand, torch.zeros(15, 3))
    for tip in TIP_JOINTS[1:]:
        assert torch.dist(fist[tip], fist[0]) < 0.65 * torch.dist(still[tip], still[0])
