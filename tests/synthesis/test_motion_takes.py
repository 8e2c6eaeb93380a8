"""Tracks of hands that move in natural time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import SIDES, default_hand
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.motion.track_file import read_track
from nerfstudio_hands.synthesis.motion_takes import KINDS, Move, Person, Take, grasping, minimum_jerk, superposed
from nerfstudio_hands.synthesis.motion_tracks import motion_tracks, synthesize_motion
from nerfstudio_hands.synthesis.options import MotionOptions


def test_a_movement_has_the_least_jerk() -> None:
    """Of all movements of a second from rest to rest the minimum is 720 (Flash and Hogan 1985)."""
    times = np.linspace(0, 1, 2001)
    jerk = np.gradient(np.gradient(np.gradient(minimum_jerk(times), times), times), times)
    assert np.trapezoid(jerk**2, times) == pytest.approx(720, rel=0.02)
    assert minimum_jerk(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 0.5, 1]


def test_movements_that_overlap_add_up_and_end_where_they_should() -> None:
    moves = [Move(np.zeros(2), 0, 0), Move(np.array([1.0, 2.0]), 0.0, 1.0), Move(np.array([4.0, 0.0]), 0.5, 1.0)]
    found = superposed(moves, np.array([[0.0], [0.5], [1.5]]), np.zeros(1))
    np.testing.assert_allclose(found, [[0, 0], [0.5, 1.0], [4, 0]])


@pytest.mark.parametrize("kind", KINDS)
def test_tracks_stay_within_the_joint_limits_and_move_smoothly(kind: str) -> None:
    options = MotionOptions(subjects=1, test_subjects=0, seconds=12, hand="both")
    (track,) = (made.track for made in motion_tracks(options) if made.kind == kind)
    assert track.num_keys == 360 and track.sides == SIDES
    for hand, side in enumerate(SIDES):
        model = default_hand(side)
        angles = rotations_to_angles(joint_axes(model), track.pose.local_rotations[:, hand])
        low, high = joint_limits(model).unbind(-1)
        assert (angles >= low - 1e-4).all() and (angles <= high + 1e-4).all()
        assert torch.rad2deg(angles.amax(dim=0) - angles.amin(dim=0)).max() > 10
        # At most some 700 degrees a second, and a meter and a half.
        assert torch.rad2deg(angles.diff(dim=0).abs().max()) < 24
        assert track.pose.translation[:, hand].diff(dim=0).norm(dim=-1).max() * 30 < 2.5
    assert (track.pose.local_rotations[:, 0].abs() - track.pose.local_rotations[:, 1].abs()).abs().max() > 0.05


def test_a_hand_opens_widest_on_its_way_to_what_it_grasps() -> None:
    take = Take(Person.draw(np.random.default_rng(0)), np.random.default_rng(0))
    grasping(take, 1.0)
    reach, (wide, grip) = take.places[1], take.fingers[1:3]
    assert wide.start < grip.start < reach.start + reach.duration < grip.start + grip.duration + 1
    assert np.abs(wide.target[:, 0]).max() < np.abs(grip.target[:, 0]).max()


def test_the_same_options_give_the_same_tracks_and_splits_share_nobody(tmp_path: Path) -> None:
    options = MotionOptions(subjects=1, test_subjects=1, seconds=2)
    ours, again = list(motion_tracks(options)), list(motion_tracks(options))
    for made, other in zip(ours, again, strict=True):
        assert torch.equal(made.track.pose.local_rotations, other.track.pose.local_rotations)
    train, test = ([made for made in ours if made.split == split] for split in ("train", "test"))
    assert len(train) == len(test) == len(KINDS)
    for made, other in zip(train, test, strict=True):
        assert (made.track.pose.local_rotations - other.track.pose.local_rotations).abs().max() > 0.05
    # People are the same however many there are.
    more = next(iter(motion_tracks(MotionOptions(subjects=9, test_subjects=3, seconds=2))))
    assert torch.equal(more.track.pose.local_rotations, ours[0].track.pose.local_rotations)

    folder = synthesize_motion(tmp_path / "tracks", options)
    assert len(list((folder / "test").glob("*.npz"))) == len(KINDS)
    read = read_track(folder / "train" / "signing-00-0.npz")
    assert torch.equal(read.pose.local_rotations, train[-1].track.pose.local_rotations)
    assert json.loads((folder / "options.json").read_text())["synthetic"] is True
    with pytest.raises(HandsError, match="does not exist yet"):
        synthesize_motion(folder, options)
