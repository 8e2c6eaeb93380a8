"""Cameras placed by a moving hand lie where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.moving_hand import made_up_rig, moving_joints, seen
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.from_hands import calibrate_by_hands
from nerfstudio_hands.calibration.hand_scale import hand_length
from nerfstudio_hands.calibration.record import CalibratedCamera, transforms
from nerfstudio_hands.errors import HandsError

JOINTS = moving_joints(60)
LENGTH = 1e3 * hand_length(JOINTS)


def faults(found: list[CalibratedCamera], true: list[CalibratedCamera]) -> tuple[np.ndarray, np.ndarray, float]:
    """Degrees and shares of the distance to the hand by which cameras are off after similarity alignment, and scale."""
    one, other = (np.linalg.inv(transforms(cameras)) for cameras in (found, true))
    # The rotation by the cameras' axes: centers of two cameras do not tell it.
    turn = Rotation.from_matrix(other[:, :3, :3] @ one[:, :3, :3].transpose(0, 2, 1)).mean().as_matrix()
    centers, wanted = one[:, :3, 3] @ turn.T, other[:, :3, 3]
    centers, wanted_middle = centers - centers.mean(0), wanted.mean(0)
    scale = ((wanted - wanted_middle) * centers).sum() / (centers**2).sum()
    off = np.linalg.norm(scale * centers + wanted_middle - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    turned = Rotation.from_matrix(turn @ one[:, :3, :3]) * Rotation.from_matrix(other[:, :3, :3]).inv()
    return np.degrees(turned.magnitude()), off, float(scale)


def test_cameras_are_placed():
    """The bound of the project: 0.3 degree and 1 % of distance from sixty frames."""
    rig = made_up_rig(4)
    blind = [replace(camera, world_to_camera=None) for camera in rig]
    landmarks = seen(rig, JOINTS, noise=2.5, outliers=0.03)
    found = calibrate_by_hands(blind, landmarks, hand_length_mm=LENGTH)
    degrees, off, scale = faults(found.cameras, rig)
    assert degrees.max() < 0.3 and off.max() < 0.01
    assert scale == pytest.approx(1, abs=0.02)
    assert max(found.pixels) < 5
    np.testing.assert_allclose(found.cameras[0].world_to_camera, np.eye(4), atol=1e-12)


def test_two_cameras_are_placed_by_the_lengths_of_bones():
    """Without them these are 1.2 degrees off."""
    rig = made_up_rig(2)
    blind = [replace(camera, world_to_camera=None) for camera in rig]
    found = calibrate_by_hands(blind, seen(rig, JOINTS, noise=2.5, outliers=0.03), hand_length_mm=LENGTH)
    degrees, off, scale = faults(found.cameras, rig)
    assert degrees.max() < 0.3 and off.max() < 0.01
    assert scale == pytest.approx(1, abs=0.02)


def test_what_cannot_be_placed_is_said():
    rig = made_up_rig(3)
    landmarks = seen(rig, JOINTS[::6])
    with pytest.raises(HandsError, match="expected at least two cameras"):
        calibrate_by_hands(rig[:1], landmarks[:, :1])
    unseen = landmarks.copy()
    unseen[:, 2] = np.nan
    with pytest.raises(HandsError, match="expected a hand in camera 2, found none"):
        calibrate_by_hands(rig, unseen)
    other_instants = landmarks.copy()
    other_instants[:, 2] = np.random.default_rng(0).permutation(landmarks[:, 2])
    with pytest.raises(HandsError, match="camera 2"):
        calibrate_by_hands(rig, other_instants)
    elsewhere = np.full_like(landmarks, np.nan)
    for c in range(3):
        elsewhere[c::3, c] = landmarks[c::3, c]
    with pytest.raises(HandsError, match="that share at least 60 landmarks"):
        calibrate_by_hands(rig, elsewhere)
