"""Annotations of poses in the convention of MANO files, with their errors."""

import numpy as np
import pytest
import torch
from helpers.made_up_hands import write_mano

from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand, load_hand
from nerfstudio_hands.hand_model.mano_file import relative_to_flat
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis.interhand_annotations import measure
from nerfstudio_hands.synthesis.motion_sequence import MotionSequence


@pytest.fixture(scope="module")
def mano(tmp_path_factory):
    return write_mano(tmp_path_factory.mktemp("mano"))


def _truth(count: int) -> tuple[MotionSequence, torch.Tensor]:
    """Both hands in random poses."""
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(10, generator=generator)
    orient = torch.randn(count, 2, 3, generator=generator)
    local = 0.3 * torch.randn(count, 2, 15, 3, generator=generator)
    translation = torch.randn(count, 2, 3, generator=generator)
    posed = [
        pose_hand(default_hand(side), orient[:, s], local[:, s], translation[:, s], shape)
        for s, side in enumerate(SIDES)
    ]
    keypoints = torch.stack([hand.keypoints for hand in posed], dim=1)
    vertices = torch.stack([hand.vertices for hand in posed], dim=1)
    bones = torch.stack([hand.bone_transforms for hand in posed], dim=1)
    tables = [values.numpy() for values in (orient, local, translation, keypoints, vertices, bones)]
    return MotionSequence("made-up", np.arange(count), np.array([True, True]), *tables), shape


def test_annotated_poses_are_relative_to_the_mean_and_off_by_a_little_or_by_a_lot(mano):
    truth, shape = _truth(60)
    hands = [load_hand(mano, side) for side in SIDES]
    means = np.stack([hand.hands_mean.numpy() for hand in hands])
    measured = measure(truth, truth.keypoints, shape.numpy(), means, np.random.default_rng(0))
    is_null = np.isnan(measured.pose).any(-1)
    assert is_null.sum(0).tolist() == measured.is_outlier.sum(0).tolist() == [3, 3]
    assert (is_null == np.isnan(measured.trans).any(-1)).all() and not (is_null & measured.is_outlier).any()

    def mean_error(s: int, usual: np.ndarray, local: torch.Tensor) -> float:
        pose = torch.from_numpy(measured.pose[usual, s]).float()
        translation, shapes = (torch.from_numpy(v[usual, s]).float() for v in (measured.trans, measured.shape))
        posed = pose_hand(hands[s], pose[:, :3], local, translation, shapes)
        return 1e3 * float(np.linalg.norm(posed.vertices.numpy() - truth.vertices[usual, s], axis=-1).mean())

    for s, hand in enumerate(hands):
        usual = np.flatnonzero(~is_null[:, s] & ~measured.is_outlier[:, s])
        outliers = np.flatnonzero(measured.is_outlier[:, s])
        local = torch.from_numpy(measured.pose[:, s, 3:]).float().reshape(-1, 15, 3)
        assert 1 < mean_error(s, usual, relative_to_flat(hand, local[usual])) < 6
        assert mean_error(s, outliers, relative_to_flat(hand, local[outliers])) > 25
        # Forgetting the mean pose is a mistake that shows.
        assert mean_error(s, usual, local[usual]) > 10


def test_lost_joints_are_few_and_never_wrists():
    truth, shape = _truth(60)
    measured = measure(truth, truth.keypoints, shape.numpy(), np.zeros((2, 15, 3)), np.random.default_rng(1))
    lost = ~measured.joint_valid
    assert 0 < lost.mean() < 0.03 and not lost[:, :, 0].any()
    assert (measured.joints[lost] == 0).all()
    error = (measured.joints - truth.keypoints)[~lost]
    assert 0.8e-3 < error.std() < 1.2e-3
