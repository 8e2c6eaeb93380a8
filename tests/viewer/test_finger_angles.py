"""The angles behind the viewer's sliders."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joints import JOINT_NAMES
from nerfstudio_hands.viewer.finger_angles import WRIST_AXES, angle_ranges, bend_hand, hand_angles


def random_pose(num_hands: int, spread: float = 0.2) -> HandPose:
    generator = torch.Generator().manual_seed(3)
    pose = HandPose.rest(num_hands, (1,))
    pose.local_rotations = spread * torch.randn(pose.local_rotations.shape, generator=generator)
    pose.global_orient = torch.randn(pose.global_orient.shape, generator=generator)
    pose.translation = torch.randn(pose.translation.shape, generator=generator)
    return pose


def keypoint(surface: HandSurface, pose: HandPose, name: str) -> torch.Tensor:
    return surface.pose(pose, torch.zeros(1)).keypoints[0, 0, JOINT_NAMES.index(name)]


@pytest.mark.parametrize("side", SIDES)
def test_unchanged_angles_leave_the_pose_as_it_is(side: str) -> None:
    model, pose = default_hand(side), random_pose(1)
    angles = {name: float(values[0]) for name, values in hand_angles(model, pose.local_rotations[:, 0]).items()}
    same = bend_hand(model, pose, 0, angles)
    torch.testing.assert_close(same.local_rotations, pose.local_rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(same.global_orient, pose.global_orient)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_angles_set_are_angles_read(side: str, part: float) -> None:
    model, pose = default_hand(side), random_pose(1, spread=0.02)
    ranges = angle_ranges(model)
    wanted = {name: low + part * (high - low) for name, (low, high) in ranges.items() if name not in WRIST_AXES}
    bent = bend_hand(model, pose, 0, wanted)
    found = hand_angles(model, bent.local_rotations[:, 0])
    for name, value in wanted.items():
        assert float(found[name][0]) == pytest.approx(value, abs=0.1), name


def test_one_angle_moves_one_finger_of_one_hand() -> None:
    surface = HandSurface([default_hand(side) for side in SIDES])
    pose = random_pose(2)
    bent = bend_hand(surface.hands[1], pose, 1, {"Ring flexion": 150.0})
    before, after = (surface.pose(p, torch.zeros(1)).keypoints[0] for p in (pose, bent))
    moved = (after - before).norm(dim=-1) > 1e-5
    assert [JOINT_NAMES[k] for k in moved[1].nonzero()[:, 0].tolist()] == ["ring_2", "ring_3", "ring_4"]
    assert not moved[0].any()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
def test_flexion_curls_the_whole_finger_into_the_palm(side: str, finger: str) -> None:
    surface, pose = HandSurface([default_hand(side)]), HandPose.rest(1, (1,))
    _, most = angle_ranges(surface.hands[0])[f"{finger.capitalize()} flexion"]
    curled = bend_hand(surface.hands[0], pose, 0, {f"{finger.capitalize()} flexion": 0.8 * most})
    # y points out of the back of the hand.
    tip = keypoint(surface, curled, f"{finger}_4") - keypoint(surface, curled, f"{finger}_1")
    assert tip[1] < -0.005
    straight = keypoint(surface, pose, f"{finger}_4") - keypoint(surface, pose, f"{finger}_1")
    assert tip.norm() < 0.6 * straight.norm()
    joints = hand_angles(surface.hands[0], curled.local_rotations[:, 0])
    assert float(joints[f"{finger.capitalize()} spread"][0]) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("side", SIDES)
def test_wrist_turns_where_its_name_says(side: str) -> None:
    surface, pose = HandSurface([default_hand(side)]), HandPose.rest(1, (1,))
    wrist, fingertip, thumb = (keypoint(surface, pose, name) for name in ("wrist", "middle_4", "thumb_4"))

    def turned(angle: str, name: str) -> torch.Tensor:
        return keypoint(surface, bend_hand(surface.hands[0], pose, 0, {angle: 20.0}), name)

    torch.testing.assert_close(turned("Wrist flexion", "wrist"), wrist, atol=1e-6, rtol=0)
    # y points out of the back of the hand, z towards the thumb; pronation brings the thumb to the palm's side.
    assert (turned("Wrist flexion", "middle_4") - fingertip)[1] < -0.03
    assert (turned("Wrist deviation", "middle_4") - fingertip)[2] > 0.03
    assert (turned("Wrist twist", "thumb_4") - thumb)[1] < -0.01


def test_wrist_turns_in_the_frame_of_the_hand() -> None:
    surface = HandSurface([default_hand("right")])
    rest, turned = HandPose.rest(1, (1,)), random_pose(1, spread=0.0)
    distances = []
    for pose in (rest, turned):
        bent = bend_hand(surface.hands[0], pose, 0, {"Wrist flexion": 35.0, "Wrist twist": -20.0})
        # Turning the frame of the whole hand must not change what the wrist's angles do relative to it.
        distances.append(torch.cdist(*(surface.pose(p, torch.zeros(1)).keypoints[0, 0] for p in (pose, bent))))
    torch.testing.assert_close(*distances, atol=1e-5, rtol=0)


def test_a_joint_beyond_its_limit_stays() -> None:
    model, pose = default_hand("right"), HandPose.rest(1, (1,))
    beyond = bend_hand(model, pose, 0, {"Index flexion": angle_ranges(model)["Index flexion"][1]})
    beyond.local_rotations[0, 0, :3] *= 1.2
    more = bend_hand(model, beyond, 0, {"Index flexion": 500.0})
    torch.testing.assert_close(more.local_rotations, beyond.local_rotations)
