"""Losses of networks of hand and object against cases made by hand."""

from __future__ import annotations

import math

import pytest
import torch

from nerfstudio_hands.estimators.soft_argmax import cell_places
from nerfstudio_hands.hand_model.joint_frames import resting_joints
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.model_components.scene_losses import (
    CLAMP,
    depth_map_loss,
    distance_loss,
    ordinal_loss,
    own_points,
    place_loss,
)

JOINTS = resting_joints(default_hand("right"))[None] + torch.tensor([0.0, 0.0, 0.5])
NAN = math.nan


def test_distances_are_compared_where_they_are_clamped():
    truth = torch.tensor([[[0.003, 1.0], [-0.5, 0.0]]])
    found = torch.tensor([[[0.006, 0.02], [-0.012, -0.03]]], requires_grad=True)
    # Hand: 3 mm and 3 mm off; object: nothing, as both are beyond, and as far as the clamp is.
    loss = distance_loss(found, truth, torch.ones(1, 2, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx((0.003 + 0.003) / 2 / CLAMP + (0 + 1) / 2)
    loss.backward()
    assert found.grad is not None and found.grad[0, 0, 1] == 0 and found.grad[0, 0, 0] > 0 > found.grad[0, 1, 0] * -1


def test_each_is_learned_from_its_own_points_with_equal_weight():
    of_object = torch.tensor([[False, True, True, True]])
    counted = own_points(of_object)
    assert counted[..., 0].tolist() == [[True, False, False, False]]
    truth = torch.zeros(1, 4, 2)
    found = torch.tensor([[[0.015, 9.0], [9.0, 0.003], [9.0, 0.003], [9.0, 0.003]]])
    assert distance_loss(found, truth, counted).item() == pytest.approx(1 + 0.2)


def test_distances_that_are_not_known_count_for_nothing():
    truth = torch.tensor([[[0.003, NAN], [0.003, NAN]]])
    found = torch.full((1, 2, 2), 0.006, requires_grad=True)
    loss = distance_loss(found, truth, torch.ones(1, 2, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx(0.2)
    loss.backward()
    assert found.grad is not None and found.grad.isfinite().all() and not found.grad[..., 1].any()


def test_places_are_compared_in_decimeters_where_they_are_known():
    truth = torch.tensor([[[0.0, 0.0, 0.5], [NAN, NAN, NAN]]])
    found = torch.tensor([[[0.1, 0.0, 0.3], [1.0, 1.0, 1.0]]], requires_grad=True)
    loss = place_loss(found, truth)
    assert loss.item() == pytest.approx((1 + 4) / 3)
    loss.backward()
    assert found.grad is not None and found.grad.isfinite().all()
    assert place_loss(found, torch.full_like(truth, NAN)).item() == 0


def test_a_depth_map_is_best_at_the_true_depth():
    cells = 32
    places = cell_places(cells, torch.device("cpu"))

    def bump(center: float) -> torch.Tensor:
        return torch.log_softmax(-(((places - center) * cells / 2) ** 2) / (2 * 1.5**2), -1)

    maps = torch.stack([bump(0.3), bump(0.3)])[None]
    known = torch.ones(1, 2, dtype=torch.bool)
    losses = [depth_map_loss(maps, torch.full((1, 2), depth), known).item() for depth in (0.1, 0.25, 0.3, 0.35, 0.5)]
    assert min(losses) == losses[2] and losses[0] > losses[1] > losses[2] < losses[3] < losses[4]
    # A cross entropy is not less than the entropy of the truth.
    assert losses[2] == pytest.approx(-(bump(0.3).exp() * bump(0.3)).sum().item(), rel=1e-4)
    # What lies beyond the volume, or is not known, counts for nothing.
    beyond = depth_map_loss(maps, torch.tensor([[0.3, 1.2]]), known)
    unknown = depth_map_loss(maps, torch.tensor([[0.3, NAN]]), torch.tensor([[True, False]]))
    assert beyond.item() == unknown.item() == pytest.approx(losses[2])


def test_the_order_of_joints_is_right_wherever_the_hand_is_and_however_large():
    torch.manual_seed(0)
    assert ordinal_loss(JOINTS, JOINTS).item() == 0
    moved = 1.2 * JOINTS + torch.tensor([0.03, -0.02, 0.1])
    assert ordinal_loss(moved, JOINTS).item() < 1e-6


def test_reversed_depth_costs_more_than_small_errors():
    torch.manual_seed(0)
    truth = JOINTS @ torch.linalg.qr(torch.randn(3, 3))[0]
    middle = truth.mean(1, keepdim=True)
    reversed_ = middle + (truth - middle) * torch.tensor([1.0, 1.0, -1.0])
    slightly = truth + 0.002 * torch.randn_like(truth)
    losses = [ordinal_loss(joints, truth).item() for joints in (slightly, reversed_)]
    assert 0 < 10 * losses[0] < losses[1]


def test_the_order_is_that_of_a_loop_over_pairs(monkeypatch):
    """With all pairs and one direction, that of the camera: gSDF's formula, written out."""
    from nerfstudio_hands.hand_model.joints import BONES
    from nerfstudio_hands.model_components import scene_losses

    monkeypatch.setattr(scene_losses, "PART", 1)
    monkeypatch.setattr(scene_losses, "VIEWS", 0)
    generator = torch.Generator().manual_seed(3)
    truth, joints = (0.1 * torch.randn(21, 3, generator=generator) for _ in range(2))
    of_joints = [
        math.log(1 + max(0.0, -math.copysign(1, truth[i, 2] - truth[j, 2]) * float(joints[i, 2] - joints[j, 2]) / 0.1))
        for i in range(21)
        for j in range(i)
    ]
    bones = [[(points[end] - points[start]) / 0.1 for start, end in BONES] for points in (joints, truth)]
    normals = [[torch.linalg.cross(some[i], some[j])[2].item() for i in range(20) for j in range(i)] for some in bones]
    of_bones = [max(0.0, -math.copysign(1, true) * found) for found, true in zip(*normals, strict=True)]
    expected = sum(of_joints) / len(of_joints) + sum(of_bones) / len(of_bones)
    assert scene_losses.ordinal_loss(joints[None], truth[None]).item() == pytest.approx(expected, rel=1e-4)


def test_hands_with_joints_that_are_not_known_have_no_order():
    truth = torch.cat([JOINTS, JOINTS])
    truth[1, 4] = NAN
    joints = torch.cat([JOINTS, -JOINTS]).requires_grad_()
    loss = ordinal_loss(joints, truth)
    assert loss.item() == 0
    loss.backward()
    assert joints.grad is not None and joints.grad.isfinite().all()
