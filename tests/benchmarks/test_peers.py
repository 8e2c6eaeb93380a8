"""What stands beside ours is measured, sized and named as it is."""

from __future__ import annotations

from types import SimpleNamespace

import data_manager
import fit_poses
import pytest
import render
import torch
from nerfstudio.cameras.cameras import Cameras
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand


def test_the_size_that_is_said_is_the_one_that_is_drawn():
    cameras = Cameras(torch.eye(4)[None, :3], 1000.0, 1000.0, 640.0, 512.0, width=1280, height=1024)
    pipeline = SimpleNamespace(
        model=SimpleNamespace(device="cpu"), datamanager=SimpleNamespace(train_dataset=SimpleNamespace(cameras=cameras))
    )
    camera = render.camera_of(pipeline, 512)
    assert (int(camera.width), int(camera.height)) == (640, 512)
    assert int(cameras.width[0]) == 1280


def test_cutting_is_spread_over_the_batches_of_one_training():
    args = data_manager.Benchmark(pictures=1000, training_steps=100)
    results = {"hand crops, warm": {"ms": 4.0}, **{name: {"ms": 40.0} for name in data_manager.PEERS}}
    said = " ".join(data_manager.sentences(args, results, cutting=36.0))
    assert "36.0 ms a picture" in said and "360.0 ms a batch more, 364.0 ms in all" in said
    assert said.count(" 10") >= len(data_manager.PEERS)


def test_a_resting_hand_is_laid_on_its_palm():
    surface = HandSurface((default_hand("right"),))
    turn, shift = torch.tensor([[[0.3, -0.5, 1.1]]]), torch.tensor([[[0.2, 0.1, -0.4]]])
    pose = HandPose(turn, torch.zeros(1, 1, 15, 3), shift, torch.ones(1, 1, dtype=torch.bool))
    points = surface.pose(pose, torch.zeros(surface.hands[0].num_shape)).keypoints
    known = torch.ones(1, 1, 21, dtype=torch.bool)
    orient, place = fit_poses._laid_on_palms(surface, points, known, pose.valid)
    off = Rotation.from_rotvec(orient[0, 0].numpy()).inv() * Rotation.from_rotvec(turn[0, 0].numpy())
    assert off.magnitude() < 1e-4
    torch.testing.assert_close(place * fit_poses.PLACE_UNIT, shift, atol=1e-5, rtol=0)


def test_the_peer_of_the_pose_fit_finds_poses():
    args = fit_poses.FitPoses(hands=4 * fit_poses.PERSONS)
    track = fit_poses.random_track(args, 3, 0.0)
    found = fit_poses.torch_lbfgs(track, "default", 60)
    assert found.hands == 4
    # A resting hand laid on the palm is some centimetres off.
    assert float(found.joint_error.mean()) < 5
    assert float(fit_poses.torch_lbfgs(track, "default", 1).joint_error.mean()) > 8


@pytest.mark.parametrize("name", list(data_manager.PEERS))
def test_peers_are_nerfstudios_own(name):
    kind, _ = data_manager.PEERS[name]
    assert kind.__module__.startswith("nerfstudio.")
