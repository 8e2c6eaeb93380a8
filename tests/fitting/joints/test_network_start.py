"""Fits that are caught where they start, and that the pose network frees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.made_up_track import random_poses

from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.fitting.joints import joint_track
from nerfstudio_hands.fitting.joints.joint_track import fit_joint_track
from nerfstudio_hands.fitting.joints.keypoint_chain import ChainPose, KeypointChain
from nerfstudio_hands.fitting.joints.pose_start import PoseStart
from nerfstudio_hands.hand_model import HandSurface, default_hand

SHAPE = torch.tensor([0.7, -0.5, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
HALF_TURN = torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64))


@pytest.fixture(scope="module")
def both() -> HandSurface:
    return HandSurface((default_hand("left"), default_hand("right")))


def errors(surface: HandSurface, joints: torch.Tensor, truth: torch.Tensor, start: PoseStart | None) -> torch.Tensor:
    """Mean distance of each fitted hand's joints from the truth."""
    fit = fit_joint_track(surface, joints, shape=SHAPE, start=start)
    return (surface.pose(fit.pose, SHAPE).keypoints - truth).norm(dim=-1).mean(-1)


def test_starts_are_near_the_truth_on_both_sides(both):
    truth = both.pose(random_poses(both, 40, seed=31), SHAPE).keypoints
    joints = truth.clone()
    joints[:, :, [3, 9]] = torch.nan
    hand = torch.arange(2).repeat(40)
    chain = KeypointChain(both)
    start = NetworkStart()(chain, joints.flatten(0, 1), hand, SHAPE.double())
    found = chain.pose(start, chain.rest_of(hand, SHAPE.double())).landmarks.float()
    error = (found - truth.flatten(0, 1)).norm(dim=-1).mean(-1)
    assert error[hand == 0].mean() < 0.015
    assert error[hand == 1].mean() < 0.015


def test_a_template_may_have_its_wrist_anywhere():
    hand = default_hand("right")
    aside = replace(hand, template=hand.template + torch.tensor([0.1, -0.2, 0.05]))
    joints = HandSurface((hand,)).pose(random_poses(HandSurface((hand,)), 3, seed=33), SHAPE).keypoints[:, 0]
    which = torch.zeros(3, dtype=torch.long)
    found = []
    for model in (hand, aside):
        chain = KeypointChain(HandSurface((model,)))
        start = NetworkStart()(chain, joints, which, SHAPE.double())
        found.append(chain.pose(start, chain.rest_of(which, SHAPE.double())).landmarks)
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_poses_go_to_chains_and_back(both):
    pose = random_poses(both, 5, seed=32).to(dtype=torch.float64)[:, 1]
    chain = KeypointChain(both)
    again = chain.to_hand_pose(chain.from_hand_pose(pose, torch.ones(5, dtype=torch.long)))
    for name in ("global_orient", "local_rotations", "translation"):
        torch.testing.assert_close(getattr(again, name), getattr(pose, name), atol=1e-6, rtol=0)


def test_an_upside_down_start_is_rescued(both, monkeypatch):
    truth = both.pose(random_poses(both, 60, seed=33), SHAPE).keypoints
    sound = joint_track.start_from_bones

    def upside_down(*args) -> ChainPose:
        pose = sound(*args)
        pose.orientation = pose.orientation @ HALF_TURN
        pose.angles = torch.zeros_like(pose.angles)
        return pose

    monkeypatch.setattr(joint_track, "start_from_bones", upside_down)
    caught = errors(both, truth, truth, None) > 0.02
    assert caught.sum() >= 3
    assert errors(both, truth, truth, NetworkStart()).max() < 2e-3


def test_outliers_catch_fewer_hands(both):
    truth = both.pose(random_poses(both, 100, seed=34), SHAPE).keypoints
    generator = torch.Generator().manual_seed(6)
    way = torch.nn.functional.normalize(torch.randn(truth.shape, generator=generator), dim=-1)
    moved = torch.rand(truth.shape[:-1], generator=generator).argsort(-1) < 4
    joints = torch.where(moved[..., None], truth + 0.15 * way, truth)
    alone, helped = errors(both, joints, truth, None), errors(both, joints, truth, NetworkStart())
    assert (alone > 0.015).sum() >= 4
    assert (helped > 0.015).sum() <= 0.5 * (alone > 0.015).sum()
    assert helped.mean() < alone.mean()
