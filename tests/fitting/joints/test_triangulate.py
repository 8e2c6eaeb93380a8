"""Triangulation against known points: noise, outliers, missing views and a camera that was turned."""

import pytest
import torch
from helpers.made_up_rig import detect, made_up_joints, ring_of_cameras
from scipy.spatial.transform import Rotation

from nerfstudio_hands.fitting.joints.triangulate import triangulate


def test_exact_detections_give_exact_joints():
    intrinsics, extrinsics = ring_of_cameras(5)
    joints = made_up_joints(0)
    found = triangulate(detect(joints, intrinsics, extrinsics, noise=0.0), intrinsics, extrinsics)
    torch.testing.assert_close(found.points, joints, atol=1e-6, rtol=0)
    assert found.rotation.abs().max() == 0
    assert found.errors.max() < 1e-3


def test_outliers_and_missing_views_are_survived_and_named():
    intrinsics, extrinsics = ring_of_cameras(8)
    joints = made_up_joints(1)
    detections = detect(joints, intrinsics, extrinsics, noise=2.0)
    generator = torch.Generator().manual_seed(7)
    # The left hand detected as the right one, a hand made up, joints thrown about, a camera and a hand missing.
    detections[0, 1, 1] = detections[0, 1, 0]
    detections[1, 4, 0] = 400 + 300 * torch.rand(21, 2, generator=generator, dtype=torch.float64)
    detections[:, 5, :, 3] += 150.0
    detections[:, 6] = torch.nan
    detections[1, 2, 1] = torch.nan
    found = triangulate(detections, intrinsics, extrinsics)
    distance = (found.points - joints).norm(dim=-1)
    # 1.88 mm is what noise of 2 pixels leaves of so many views.
    assert distance.mean() < 0.0022
    assert distance.max() < 0.006
    rejected = torch.nonzero(~found.hand_inlier & torch.isfinite(detections).all(-1).all(-1)).tolist()
    assert sorted(rejected) == [[0, 1, 1], [1, 4, 0]]
    assert found.weights[:, 5, :, 3].max() < 0.05
    assert (found.weights[:, 6] == 0).all()


def test_a_turned_camera_is_turned_back():
    intrinsics, extrinsics = ring_of_cameras(8)
    joints = made_up_joints(2)
    turned = extrinsics.clone()
    turn = torch.tensor([0.6, -1.0, 0.1], dtype=torch.float64).deg2rad()
    turned[3, :3] = torch.from_numpy(Rotation.from_rotvec(-turn.numpy()).as_matrix()) @ extrinsics[3, :3]
    found = triangulate(detect(joints, intrinsics, extrinsics, noise=2.0), intrinsics, turned)
    # The calibration claims `turned`; the pictures were taken with `extrinsics` = R(turn) @ turned.
    torch.testing.assert_close(found.rotation[3], turn, atol=0.0035, rtol=0)
    others = found.rotation[[c for c in range(8) if c != 3]]
    assert others.norm(dim=-1).max() < torch.tensor(0.3).deg2rad()
    assert (found.points - joints).norm(dim=-1).mean() < 0.002

    kept = triangulate(detect(joints, intrinsics, extrinsics, noise=2.0), intrinsics, turned, refine_rotations=False)
    assert kept.rotation.abs().max() == 0
    assert kept.errors[:, 3].median() > 15


@pytest.mark.parametrize("views", [0, 1])
def test_a_hand_seen_by_less_than_two_cameras_has_no_joints(views: int):
    intrinsics, extrinsics = ring_of_cameras(4)
    detections = detect(made_up_joints(3), intrinsics, extrinsics, noise=1.0)
    detections[:, views:, 0] = torch.nan
    found = triangulate(detections, intrinsics, extrinsics)
    assert found.points[:, 0].isnan().all()
    assert found.points[:, 1].isfinite().all()


def test_a_joint_that_no_best_pair_sees_comes_from_the_others():
    intrinsics, extrinsics = ring_of_cameras(8)
    joints = made_up_joints(4)
    detections = detect(joints, intrinsics, extrinsics, noise=1.0)
    # Every camera lacks two joints of its own, so that any two cameras lack four between them.
    for camera in range(8):
        detections[:, camera, :, 2 * camera : 2 * camera + 2] = torch.nan
    detections[:, 5, :, 20] += 200.0
    found = triangulate(detections, intrinsics, extrinsics)
    assert found.points.isfinite().all()
    assert (found.points - joints).norm(dim=-1).max() < 0.005
    assert found.weights[:, 5, :, 20].max() < 0.05


def test_a_camera_that_looks_away_says_nothing():
    intrinsics, extrinsics = ring_of_cameras(6)
    joints = made_up_joints(5)
    # Half a turn about its upright axis: its rays go on backwards through the same joints.
    extrinsics[2] = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)) @ extrinsics[2]
    found = triangulate(detect(joints, intrinsics, extrinsics, noise=0.0), intrinsics, extrinsics)
    torch.testing.assert_close(found.points, joints, atol=1e-6, rtol=0)
    assert not found.weights[:, 2].any() and not found.hand_inlier[:, 2].any()
    assert found.weights[:, [0, 1, 3, 4, 5]].min() > 0.99


def test_a_hand_that_is_off_as_a_whole_has_no_weight():
    intrinsics, extrinsics = ring_of_cameras(8)
    joints = made_up_joints(7)
    detections = detect(joints, intrinsics, extrinsics, noise=0.0)
    # Two centimetres at the depth of the hand.
    detections[1, 4, 0, :, 0] += 0.02 / 0.9 * intrinsics[4, 0, 0]
    found = triangulate(detections, intrinsics, extrinsics)
    off = torch.zeros(2, 8, 2, dtype=torch.bool)
    off[1, 4, 0] = True
    assert torch.equal(found.hand_inlier.bool(), ~off)
    assert (found.weights[off] == 0).all() and found.weights[~off].min() > 0.9
    torch.testing.assert_close(found.points, joints, atol=1e-6, rtol=0)


def test_two_cameras_side_by_side_see_no_depth():
    intrinsics, extrinsics = ring_of_cameras(8)
    joints = made_up_joints(6)
    beside = extrinsics[0].clone()
    beside[0, 3] += 0.01
    pair = torch.stack([extrinsics[0], beside])
    detections = detect(joints, intrinsics[:2], pair, noise=1.0)
    assert triangulate(detections, intrinsics[:2], pair).points.isnan().all()
