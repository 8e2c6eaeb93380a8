"""Landmarks beside the joints, against the surface and the bones of the hands that they were seen on."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nerfstudio_hands.hand_model.joints import SIDES, TIP_JOINTS
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.landmarks import CARRIERS, landmark_offsets, mislaid, seen_joints
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence, pose_sequence
from nerfstudio_hands.synthesis.options import LandmarkOptions
from nerfstudio_hands.synthesis.range_of_motion import opening_and_closing
from nerfstudio_hands.synthesis.scene import QUICK
from nerfstudio_hands.synthesis.subject import make_subject

BIASED = LandmarkOptions(bias=4.5)
INNER = [joint for joint in range(1, 21) if joint not in TIP_JOINTS]


@pytest.fixture(scope="module")
def motion() -> MotionSequence:
    subject = make_subject(SIDES, subdivisions=1, quality=QUICK, seed=3)
    return pose_sequence("", np.arange(3), opening_and_closing(SIDES, 3), subject, np.array([0.1, 0.2, 1.0]))


def test_landmarks_lie_3_to_6_mm_off_the_joints_whatever_the_pose(motion):
    offset = 1e3 * (seen_joints(motion, BIASED, 3) - motion.keypoints)
    length = np.linalg.norm(offset, axis=-1)
    assert 3 < length.min() and length.max() < 6 and 4 < length.mean() < 5
    # The bone carries the offset: turned back by it, it is the same in every frame, and mirrored on the other hand.
    rotations = motion.bone_to_world[:, :, list(CARRIERS), :3, :3]
    at_rest = np.einsum("tsjcr,tsjc->tsjr", rotations, offset)
    np.testing.assert_allclose(at_rest, np.broadcast_to(at_rest[:1], at_rest.shape), atol=1e-2)
    np.testing.assert_allclose(at_rest[0, 0] * [-1, 1, 1], at_rest[0, 1], atol=1e-2)
    assert np.abs(offset[0] - offset[2]).max() > 1


def test_landmarks_are_nearer_to_the_skin_of_the_back_than_joints_are(motion):
    mesh = trimesh.Trimesh(motion.vertices[0, 1], default_hand("right").faces.numpy(), process=False)
    places = motion.keypoints[0, 1][INNER], seen_joints(motion, BIASED, 3)[0, 1][INNER]
    distances = [trimesh.proximity.closest_point(mesh, place.astype(float))[1] for place in places]
    assert (distances[1] < distances[0]).mean() > 0.8 and distances[1].mean() < 0.6 * distances[0].mean()
    tips = list(TIP_JOINTS)
    seen = seen_joints(motion, BIASED, 3)[0, 1][tips].astype(float)
    assert trimesh.proximity.closest_point(mesh, seen)[1].max() < 4e-3


def test_another_person_is_seen_otherwise():
    ours, others = (landmark_offsets(BIASED, seed) for seed in (3, 4))
    assert 1e3 * np.linalg.norm(ours - others, axis=1).mean() > 1


def test_scatter_and_outliers_have_the_size_and_the_share_that_were_asked_for():
    points = np.zeros((400, 21, 3))
    options = LandmarkOptions(scatter=2.0, outliers=0.1)
    found, is_outlier = mislaid(points, options, np.random.default_rng(0))
    assert is_outlier.mean() == pytest.approx(0.1, abs=0.01)
    assert 1e3 * found[~is_outlier].std() == pytest.approx(2.0, rel=0.03)
    distance = 1e3 * np.linalg.norm(found[is_outlier], axis=-1)
    assert distance.min() > 12 and distance.max() < 68 and distance.mean() == pytest.approx(40, abs=3)
    untouched, none = mislaid(points + 0.1, LandmarkOptions(), np.random.default_rng(0))
    assert (untouched == points + 0.1).all() and not none.any()
