"""Tracks that go on, and gaps that are filled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.made_up_motion import swinging

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import SIDES, HandPose, default_hand, mirror_rotations
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.motion.forecasting import continuation
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.track_states import recordings_of, unbroken
from nerfstudio_hands.motion.forecasting.weights_file import shipped_forecaster
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.transforms.rotations import angle_between

HANDS = tuple(default_hand(side) for side in SIDES)


def cut(track: PoseTrack, first: int, last: int) -> PoseTrack:
    """A track without the hand in some of its keys."""
    pose = track.pose[:]
    pose.valid[first:last] = False
    return replace(track, pose=pose)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("fps", [30.0, 24.0, 90.0])
def test_a_track_goes_on_at_the_forecasters_rate(side: str, fps: float) -> None:
    track = swinging(2.0, fps, side)
    longer = continuation.continue_track(shipped_forecaster(), track, HANDS, 25)
    assert longer.num_keys == track.num_keys + 25 and longer.sides == (side,)
    torch.testing.assert_close(longer.times[track.num_keys :] - track.times[-1], torch.arange(1, 26) / 30.0)
    assert torch.equal(longer.pose.local_rotations[: track.num_keys], track.pose.local_rotations)
    # It goes on from where the hand is, and not far from where it really goes.
    truth = swinging(4.0, fps, side).at(longer.times)
    apart = angle_between(longer.pose.local_rotations, truth.local_rotations)[:, 0].mean(dim=-1)
    new = apart[track.num_keys :]
    still = angle_between(
        truth.local_rotations[track.num_keys - 1].expand_as(truth.local_rotations), truth.local_rotations
    )
    assert new[0] < 0.01 and new[4] < 0.5 * still[track.num_keys + 4].mean()


def test_a_left_hand_goes_on_as_its_mirror_image() -> None:
    right = swinging(1.0)
    pose = right.pose
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = HandPose(
        mirror_rotations(pose.global_orient),
        mirror_rotations(pose.local_rotations),
        pose.translation * mirror,
        pose.valid,
    )
    left = replace(right, sides=("left",), pose=mirrored)
    ours, theirs = (continuation.continue_track(shipped_forecaster(), track, HANDS, 40).pose for track in (right, left))
    torch.testing.assert_close(mirror_rotations(theirs.local_rotations), ours.local_rotations, atol=2e-4, rtol=0)
    torch.testing.assert_close(theirs.translation * mirror, ours.translation, atol=2e-4, rtol=0)


def test_ten_seconds_stay_within_the_joint_limits_and_move() -> None:
    track = swinging(1.0)
    draw = torch.Generator().manual_seed(3)
    longer = continuation.continue_track(shipped_forecaster(), track, HANDS, 300, generator=draw)
    model = default_hand("right")
    angles = rotations_to_angles(joint_axes(model), longer.pose.local_rotations[30:, 0])
    low, high = joint_limits(model).unbind(-1)
    assert (angles > low - 1e-3).all() and (angles < high + 1e-3).all()
    for second in range(10):
        assert torch.rad2deg(angles[30 * second : 30 * second + 30].std(dim=0).max()) > 1
    again = continuation.continue_track(
        shipped_forecaster(), track, HANDS, 300, generator=torch.Generator().manual_seed(3)
    )
    assert torch.equal(again.pose.local_rotations, longer.pose.local_rotations)


def test_a_gap_is_filled_from_both_ends() -> None:
    whole = swinging(4.0)
    holed = cut(whole, 50, 62)
    filled, count, left = continuation.fill_gaps(shipped_forecaster(), holed, HANDS)
    assert (count, left) == (1, 0) and filled.pose.valid.all() and filled.num_keys == whole.num_keys
    torch.testing.assert_close(filled.pose.local_rotations[:50], whole.pose.local_rotations[:50], atol=1e-5, rtol=0)
    torch.testing.assert_close(filled.pose.local_rotations[62:], whole.pose.local_rotations[62:], atol=1e-5, rtol=0)
    # Nowhere does it jump: no step in the gap is much longer than those of the motion itself.
    steps, true_steps = (
        angle_between(track.pose.local_rotations[1:], track.pose.local_rotations[:-1]) for track in (filled, whole)
    )
    assert steps.max() < 1.5 * true_steps.max()
    apart = (filled.pose.translation - whole.pose.translation).norm(dim=-1)
    assert apart.max() < 0.02


def test_keys_that_are_missing_altogether_are_made_and_short_ends_are_left() -> None:
    whole = swinging(4.0)
    kept = torch.cat([torch.arange(50), torch.arange(62, 120)])
    missing = PoseTrack(whole.sides, whole.pose[kept], whole.times[kept], "missing")
    filled, count, left = continuation.fill_gaps(shipped_forecaster(), missing, HANDS)
    assert (count, left) == (1, 0)
    torch.testing.assert_close(filled.times, whole.times, atol=1e-4, rtol=0)
    # The hand is seen for four frames only before it is lost.
    short = cut(cut(whole, 0, 40), 44, 50)
    filled, count, left = continuation.fill_gaps(shipped_forecaster(), short, HANDS)
    assert (count, left) == (0, 1) and torch.equal(filled.pose.valid, short.pose.valid)


def test_two_hands_go_on_each_by_itself() -> None:
    both = swinging(1.0).for_hands(SIDES, swinging(side="left").pose[0])
    longer = continuation.continue_track(shipped_forecaster(), both, HANDS, 10)
    alone = continuation.continue_track(shipped_forecaster(), continuation.only(both, "right"), HANDS, 10)
    assert torch.equal(longer.pose.local_rotations[:, 1], alone.pose.local_rotations[:, 0])


def test_what_cannot_go_on_is_said() -> None:
    forecaster = shipped_forecaster()
    for track, words in (
        (swinging(0.2), "expected 10 frames at 30 a second .* found 0.17 s"),
        (cut(swinging(1.0), 27, 30), "expected the right hand to be there at its end"),
        (cut(swinging(1.0), 22, 25), "without a gap at its end, found 0.13 s"),
    ):
        with pytest.raises(HandsError, match=words):
            continuation.continue_track(forecaster, track, HANDS, 5)
    positions = Forecaster(ForecasterConfig(numbers="relative", mixer=MixerConfig(embedding=8, channels=1, blocks=1)))
    with pytest.raises(HandsError, match="expected one of joint angles"):
        continuation.continue_track(positions, swinging(), HANDS, 5)
    with pytest.raises(HandsError, match="expected the left hand, found only the right one"):
        continuation.only(swinging(), "left")


def test_recordings_break_where_a_hand_is_missing() -> None:
    track = cut(swinging(4.0, 60.0), 100, 140)
    assert [len(run) for run in unbroken(track, 0)] == [100, 100]
    found = recordings_of(track, HANDS, 30.0)
    assert [len(recording.states) for recording in found] == [50, 50] and all(r.fps == 30 for r in found)
