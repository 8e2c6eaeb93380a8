"""Losses are smallest at the truth, and what is not known counts for nothing."""

from __future__ import annotations

import math

import pytest
import torch

from nerfstudio_hands.model_components import hand_losses as losses


@pytest.fixture
def truth() -> torch.Tensor:
    return torch.rand(3, 21, 2, generator=torch.Generator().manual_seed(0)) - 0.5


def test_the_scale_that_says_the_error_is_best(truth):
    off = truth + torch.tensor([0.05, -0.03])
    sure = torch.ones(3, 21)
    found = {scale: float(losses.scale_loss(off, sure * math.log(scale), truth, sure)) for scale in (0.02, 0.04, 0.08)}
    assert found[0.04] < min(found[0.02], found[0.08])


def test_heat_maps_are_best_where_the_joints_are(truth):
    sure = torch.ones(3, 21)
    places = (torch.arange(16) + 0.5) / 8 - 1

    def maps(at: torch.Tensor) -> torch.Tensor:
        near = (places - at[..., :1]) ** 2, (places - at[..., 1:]) ** 2
        return (
            (-(near[1][..., :, None] + near[0][..., None, :]).flatten(2) / 0.07).log_softmax(-1).unflatten(-1, (16, 16))
        )

    best = losses.heat_map_loss(maps(truth), truth, sure)
    for shift in ([0.1, 0.0], [0.0, 0.1], [-0.1, 0.0]):
        assert losses.heat_map_loss(maps(truth + torch.tensor(shift)), truth, sure) > best
    outside = truth.clone()
    outside[:, 3] = 1.2
    unknown = truth.clone()
    unknown[:, 3] = torch.nan
    assert losses.heat_map_loss(maps(truth), outside, sure) == losses.heat_map_loss(maps(truth), unknown, sure)


@pytest.mark.parametrize("loss", [losses.pixel_loss, losses.bone_direction_loss, losses.point_loss])
def test_joints_without_confidence_or_truth_count_for_nothing(loss, truth):
    sure = torch.ones(3, 21)
    assert loss(truth, truth, sure) == pytest.approx(0, abs=1e-5)
    wrong = truth.clone()
    wrong[:, 8] += torch.tensor([0.3, 0.1])
    assert loss(wrong, truth, sure) > 1e-3
    unsure = sure.clone()
    unsure[:, 8] = 0
    assert loss(wrong, truth, unsure) == pytest.approx(0, abs=1e-5)
    unknown = truth.clone()
    unknown[:, 8] = torch.nan
    points = wrong.requires_grad_()
    value = loss(points, unknown, sure)
    assert value.item() == pytest.approx(0, abs=1e-5)
    value.backward()
    assert points.grad.isfinite().all()


def test_joints_relative_to_the_root_do_not_see_where_the_hand_is():
    truth = torch.randn(2, 21, 3)
    moved = truth + torch.tensor([0.0, 0.1, 0.3])
    assert losses.joint_loss(moved, truth) == pytest.approx(0.4 / 3, abs=1e-5)
    assert losses.norm_joint_loss(moved, truth, moved[:, 9], truth[:, 9]) == pytest.approx(0, abs=1e-6)
    truth[1] = torch.nan
    assert losses.joint_loss(moved, truth) == pytest.approx(0.4 / 3, abs=1e-5)


def test_nothing_known_is_no_loss(truth):
    nothing = torch.full_like(truth, torch.nan)
    assert losses.pixel_loss(truth, nothing, torch.ones(3, 21)) == 0
    assert losses.log_size_loss(torch.ones(3), torch.full((3,), torch.nan)) == 0


def test_distance_of_segments():
    a, b = torch.tensor([0.0, 0, 0]), torch.tensor([1.0, 0, 0])
    for c, d, wanted in (
        ([0.5, 1.0, 0.5], [0.5, 1.0, -0.5], 1.0),
        ([2.0, 0.0, 0.0], [3.0, 0.0, 0.0], 1.0),
        ([0.2, -1.0, 0.0], [0.8, 1.0, 0.0], 0.0),
        ([0.0, 0.3, 0.0], [1.0, 0.3, 0.0], 0.3),
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], math.sqrt(2)),
    ):
        assert losses.segment_distance(a, b, torch.tensor(c), torch.tensor(d)) == pytest.approx(wanted, abs=1e-5)


def test_roughness_is_how_far_vertices_are_from_their_neighbors():
    # Of an octahedron the four neighbors of each vertex are around its middle.
    ball = torch.cat([torch.eye(3), -torch.eye(3)])
    pairs = torch.tensor([[a, b] for a in range(6) for b in range(a) if a - b != 3])
    small, moved = 0.03 * ball, 0.03 * ball + torch.tensor([0.1, 0.0, 0.5])
    assert losses.laplacian_loss(small[None], pairs) == pytest.approx(0.03, abs=1e-6)
    assert losses.laplacian_loss(torch.stack([small, 2 * moved]), pairs) == pytest.approx(0.045, abs=1e-6)


def test_fingers_in_each_other_collide():
    joints = torch.zeros(1, 21, 3)
    joints[0, :, 0] = torch.arange(21) * 0.02
    joints[0, 5:9] = torch.tensor([[0.0, 0.05, 0], [0.03, 0.05, 0], [0.05, 0.05, 0], [0.07, 0.05, 0]])
    joints[0, 9:13] = joints[0, 5:9] + torch.tensor([0.0, 0.0, 0.018])
    radii, apart = torch.full((20,), 0.008), torch.tensor([[5, 9], [6, 10], [7, 11]])
    assert losses.collision_loss(joints, radii, apart) == 0
    joints[0, 9:13, 2] = 0.010
    assert losses.collision_loss(joints, radii, apart) > 0.3
