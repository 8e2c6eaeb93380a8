from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.pose_tracks import assert_same, made_up_track
from scipy.spatial.transform import Rotation, Slerp

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import SIDES, HandPose
from nerfstudio_hands.motion.pose_track import PoseTrack, first_seen


def as_matrices(axis_angle: torch.Tensor) -> np.ndarray:
    return Rotation.from_rotvec(axis_angle.reshape(-1, 3).numpy()).as_matrix()


def test_between_keys_joints_turn_as_in_scipy_and_wrists_go_straight() -> None:
    track = made_up_track()
    times = torch.linspace(0, track.duration, 23)
    posed = track.at(times)
    assert posed.local_rotations.shape == (23, 2, 15, 3)
    keys, asked = track.times.double().numpy(), times.double().numpy()
    for hand in range(2):
        rotations = torch.cat([track.pose.global_orient[:, hand, None], track.pose.local_rotations[:, hand]], dim=1)
        found = torch.cat([posed.global_orient[:, hand, None], posed.local_rotations[:, hand]], dim=1)
        for joint in range(16):
            expected = Slerp(keys, Rotation.from_rotvec(rotations[:, joint].numpy()))(asked.clip(0, keys[-1]))
            np.testing.assert_allclose(as_matrices(found[:, joint]), expected.as_matrix(), atol=1e-5)
        for axis in range(3):
            straight = np.interp(asked, keys, track.pose.translation[:, hand, axis].numpy())
            np.testing.assert_allclose(posed.translation[:, hand, axis].numpy(), straight, atol=1e-5)


def test_at_its_keys_and_beyond_its_ends_a_track_is_what_it_was_given() -> None:
    track = made_up_track()
    matrices = as_matrices(track.at(track.times).local_rotations)
    np.testing.assert_allclose(matrices, as_matrices(track.pose.local_rotations), atol=1e-5)
    assert_same(track.at(torch.tensor([-1.0, track.duration + 1])), track.at(torch.tensor([0.0, track.duration])))
    single = made_up_track(1)
    assert single.duration == 0
    torch.testing.assert_close(single.at(torch.tensor([0.0, 3.0])).translation, single.pose.translation.expand(2, 2, 3))


def test_a_hand_that_one_key_lacks_stands_as_in_the_other() -> None:
    track = made_up_track(5)
    track.pose.valid[1, 0] = False
    track.pose.valid[3:, 0] = False
    track.pose.local_rotations[~track.pose.valid] = torch.nan
    t = track.times.tolist()
    at = track.at(torch.tensor([(t[0] + t[1]) / 2, t[1], (t[1] + t[2]) / 2, t[2], (t[2] + t[3]) / 2, t[3], t[4]]))
    assert at.valid[:, 0].tolist() == [True, False, True, True, True, False, False]
    assert at.valid[:, 1].all()
    for row, key in ((0, 0), (2, 2), (3, 2), (4, 2)):
        np.testing.assert_allclose(
            as_matrices(at.local_rotations[row, 0]), as_matrices(track.pose.local_rotations[key, 0]), atol=1e-5
        )
        torch.testing.assert_close(at.translation[row, 0], track.pose.translation[key, 0])
    assert at.local_rotations.isfinite().all()
    # The other hand moves on.
    assert (at.translation[0, 1] - track.pose.translation[0, 1]).norm() > 0.1


def test_frames_of_a_capture_follow_each_other_at_its_rate() -> None:
    pose = made_up_track(7).pose
    pose.valid[2, 1] = False
    pose.global_orient[2, 1] = torch.nan
    track = PoseTrack.of_frames(pose, SIDES, fps=5.0)
    assert track.times.tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    assert track.pose.global_orient.isfinite().all()
    # In 32-bit numbers these times are not exactly those of the keys, and a neighbour must not show through.
    assert not track.at(torch.tensor([2 / 5])).valid[0, 1]


def test_one_hand_moves_and_the_other_stands_still() -> None:
    right, still = made_up_track(sides=("right",)), made_up_track(1).pose[0]
    both = right.for_hands(SIDES, still)
    assert both.sides == SIDES
    torch.testing.assert_close(both.pose.local_rotations[:, 1], right.pose.local_rotations[:, 0])
    for key in range(4):
        torch.testing.assert_close(both.pose.translation[key, 0], still.translation[0])
    # Back again nothing is left of the hand that stood still.
    assert_same(both.for_hands(("right",), still[1:]).pose, right.pose)
    with pytest.raises(HandsError, match="expected poses of the left hand.* found only the right hand"):
        right.for_hands(("left",), still[:1])


def test_in_place_only_the_fingers_move() -> None:
    track, reference = made_up_track(), made_up_track(2).pose[1]
    track.pose.valid[1, 0] = False
    placed = track.anchored(reference)
    torch.testing.assert_close(placed.pose.local_rotations, track.pose.local_rotations)
    for key in range(4):
        torch.testing.assert_close(placed.pose.global_orient[key], reference.global_orient)
        torch.testing.assert_close(placed.pose.translation[key], reference.translation)
    assert placed.pose.valid.tolist() == track.pose.valid.tolist()


def test_a_track_is_far_where_no_hand_ever_comes_near() -> None:
    track, reference = made_up_track(), HandPose.rest(2)
    track.pose.translation[:] = torch.tensor([0.0, 0.6, 0.0])
    assert track.is_far_from(reference)
    track.pose.translation[3, 1] = 0.1
    assert not track.is_far_from(reference)
    track.pose.valid[3, 1] = False
    assert track.is_far_from(reference)


def test_first_seen_takes_each_hand_where_it_first_is() -> None:
    pose = made_up_track().pose
    pose.valid[:2, 1] = False
    first = first_seen(pose)
    torch.testing.assert_close(first.translation, torch.stack([pose.translation[0, 0], pose.translation[2, 1]]))
    assert first.valid.all()
