"""Warps and encodings against closed forms."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.fields.plane_encoding import PlaneEncoding, total_variation
from nerfstudio_hands.fields.warps import surface_warp, uv_warp
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand


def test_uv_of_a_corner_and_of_a_centre():
    uv = torch.tensor([[[0.0, 0.0], [0.5, 0.0], [0.0, 1.0]]])
    barycentric = torch.tensor([[0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    warped = uv_warp(uv, torch.tensor([0, 0]), barycentric)
    assert torch.allclose(warped, torch.tensor([[0.5, 0.0], [1 / 6, 1 / 3]]))


def test_the_zero_pose_place_does_not_move_with_the_pose():
    surface = HandSurface((default_hand("right"),))
    bent = HandPose.rest(1, (1,))
    bent.local_rotations[..., 3:6, 2] = 0.7
    shape = torch.zeros(surface.hands[0].num_shape)
    rest, posed = (surface.pose(pose, shape).vertices[0] for pose in (HandPose.rest(1, (1,)), bent))
    face = torch.arange(0, len(surface.faces), 7)
    barycentric = torch.tensor([[0.2, 0.3, 0.5]]).expand(len(face), 3)
    before, after = (surface_warp(vertices, surface.faces, face, barycentric) for vertices in (rest, posed))
    moved = after - before
    assert moved.norm(dim=-1).max() > 0.005  # The pose did move points of the surface ...
    there = surface_warp(surface.canonical, surface.faces, face, barycentric)
    # ... and the canonical space is the rest pose, moved as a whole.
    offset = there - surface_warp(surface.hands[0].template, surface.faces, face, barycentric)
    assert torch.allclose(offset, offset[:1].expand_as(offset), atol=1e-6)


def test_gradients_reach_points_through_barycentric_coordinates():
    barycentric = torch.tensor([[0.2, 0.3, 0.5]], requires_grad=True)
    uv = torch.tensor([[[0.0, 0.0], [0.5, 0.0], [0.0, 1.0]]])
    uv_warp(uv, torch.tensor([0]), barycentric).sum().backward()
    assert torch.equal(barycentric.grad, torch.tensor([[0.0, 0.5, 1.0]]))


def test_plane_encoding_reads_texels_at_their_centres():
    encoding = PlaneEncoding(2, (4,), channels=3, aspect=2)
    plane = encoding.levels[0][0]  # [3, 4, 8]
    assert torch.allclose(encoding(torch.tensor([[(5 + 0.5) / 8, (2 + 0.5) / 4]])), plane[:, 2, 5][None], atol=1e-6)
    between = encoding(torch.tensor([[6 / 8, (2 + 0.5) / 4]]))
    assert torch.allclose(between, (plane[:, 2, 5] + plane[:, 2, 6])[None] / 2, atol=1e-6)


def test_total_variation_is_zero_on_constant_planes_only():
    encoding = PlaneEncoding(3, (8, 16))
    assert encoding.total_variation() > 0
    with torch.no_grad():
        for level in encoding.levels:
            level.fill_(0.3)
    assert encoding.total_variation() == 0


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 7, 6)])
def test_the_gradient_of_total_variation_is_that_of_its_formula(shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    plain = sum(level.diff(dim=dim).square().mean() for level in levels for dim in (-1, -2))
    found = total_variation(levels)
    assert torch.allclose(found, plain)
    wanted = torch.autograd.grad(3 * plain, levels)
    for one, other in zip(torch.autograd.grad(3 * found, levels), wanted, strict=True):
        assert torch.allclose(one, other)
