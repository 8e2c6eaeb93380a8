"""Hands whose bones keep their lengths tell where cameras stand."""

from __future__ import annotations

import numpy as np
from helpers.moving_hand import made_up_rig, moving_joints, seen

from nerfstudio_hands.calibration.bone_lengths import adjusted_by_bones, moved
from nerfstudio_hands.calibration.rays import meeting_points, stacked_rays
from nerfstudio_hands.calibration.record import transforms
from nerfstudio_hands.hand_model.joints import BONES


def test_two_cameras_come_back_to_their_places_and_bones_to_their_lengths():
    rig, joints = made_up_rig(2), moving_joints(20)
    landmarks = seen(rig, joints, noise=0.0)
    landmarks[3, 0, 1, 8] += 150.0  # A wrong one.
    rays, true = stacked_rays(rig, landmarks), transforms(rig)
    true = true @ np.linalg.inv(true[0])
    begun = moved(true, np.array([0.02, -0.01, 0.015, 0.02, 0.03, -0.02]))
    points, _ = meeting_points(rays, begun)
    hands = points.reshape(-1, 21, 3)
    whole = np.isfinite(hands).all(axis=(1, 2))
    assert whole.sum() == 20
    flat = (rays[..., :2] / rays[..., 2:]).reshape(2, -1, 21, 2).swapaxes(0, 1)
    sides = (np.arange(len(hands)) % 2)[whole]
    placed, found = adjusted_by_bones(begun, flat[whole], hands[whole], sides, np.full(2, 0.002))
    relative = placed[1, :3, :3] @ true[1, :3, :3].T
    degrees = np.degrees(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1)))
    assert degrees < 0.01
    directions = [matrix[:3, 3] / np.linalg.norm(matrix[:3, 3]) for matrix in (placed[1], true[1])]
    np.testing.assert_allclose(*directions, atol=1e-3)
    factor = np.linalg.norm(true[1, :3, 3]) / np.linalg.norm(placed[1, :3, 3])
    ends = found[:, np.array(BONES)]
    lengths = factor * np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=-1)
    np.testing.assert_allclose(lengths, lengths[:1].repeat(20, 0), atol=1e-6)
    wanted = joints[0, 1, np.array(BONES)]
    np.testing.assert_allclose(lengths[0], np.linalg.norm(wanted[:, 1] - wanted[:, 0], axis=-1), atol=2e-4)
