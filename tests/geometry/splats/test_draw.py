"""Splats against a plain reference: every splat in every pixel, in torch's own arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nerfstudio_hands.geometry.splats import tiles
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.transforms.projection import pixel_rays
from nerfstudio_hands.transforms.rotations import rotation_matrix

WIDTH, HEIGHT = 44, 37
INTRINSICS = torch.tensor([[150.0, 0, 21.3], [0, 140.0, 19.7], [0, 0, 1]], dtype=torch.float64)


def camera(move: Tensor | None = None) -> Tensor:
    """World to camera, 40 cm away; `move` turns and shifts it."""
    turn, shift = (torch.zeros(6) if move is None else move).double().split(3)
    rotation = rotation_matrix(turn) @ rotation_matrix(torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64))
    upper = torch.cat([rotation, (torch.tensor([0.01, -0.005, 0.4]) + shift)[:, None]], dim=1)
    return torch.cat([upper, torch.tensor([[0.0, 0, 0, 1]], dtype=torch.float64)])


def cloud(count: int, seed: int = 3) -> tuple[Splats, Tensor]:
    """Splats of 2 to 12 mm within 6 cm, float64, and three features each."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    turns = rotation_matrix(3 * uniform(count, 3))
    axes = (0.002 + 0.01 * uniform(count, 3))[..., None] * turns
    return Splats(0.12 * uniform(count, 3) - 0.06, axes, 0.1 + 0.89 * uniform(count)), uniform(count, 3)


def reference(
    splats: Splats, features: Tensor, intrinsics: Tensor, world_to_camera: Tensor, cut_off: float
) -> tuple[Tensor, Tensor]:
    """Zwicker et al. 2001 with the filter of Yu et al. 2024, by the matrices of their papers."""
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    places = splats.means @ rotation.T + translation
    covariance = rotation @ splats.axes.transpose(1, 2) @ splats.axes @ rotation.T
    x, y, z = places.unbind(1)
    zero = torch.zeros_like(z)
    fx, fy = intrinsics[0, 0], intrinsics[1, 1]
    slope = torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], dim=1).view(-1, 2, 3)
    sharp = slope @ covariance @ slope.transpose(1, 2)
    blurred = sharp + 0.1 * torch.eye(2, dtype=sharp.dtype)
    opacity = splats.opacities * (torch.linalg.det(sharp) / torch.linalg.det(blurred)).sqrt()
    middles = (places @ intrinsics.T)[:, :2] / z[:, None]
    columns, rows = torch.meshgrid(torch.arange(WIDTH) + 0.5, torch.arange(HEIGHT) + 0.5, indexing="xy")
    away = torch.stack([columns, rows], dim=-1)[:, :, None] - middles
    square = torch.einsum("hwni,nij,hwnj->hwn", away, torch.linalg.inv(blurred), away)
    alpha = (opacity * torch.exp(-0.5 * square)).clamp(max=0.99)
    alpha = torch.where(alpha > cut_off, alpha, torch.zeros_like(alpha))[..., z.argsort()]
    through = torch.cat([torch.ones_like(alpha[..., :1]), (1 - alpha).cumprod(dim=-1)], dim=-1)
    weight = alpha * through[..., :-1]
    return weight @ features[z.argsort()], 1 - through[..., -1:]


def rays(world_to_camera: Tensor) -> tuple[Tensor, Tensor]:
    return pixel_rays(INTRINSICS, world_to_camera, WIDTH, HEIGHT)


@pytest.mark.parametrize("count", [1, 40, 300])
def test_images_are_those_of_the_reference(count: int):
    splats, features = cloud(count)
    image, coverage = draw_splats(splats, features, *rays(camera()))
    expected = reference(splats, features, INTRINSICS, camera(), 1 / 255)
    assert 0.01 < coverage.mean() < 1
    assert torch.allclose(image.double(), expected[0], atol=2e-5)
    assert torch.allclose(coverage.double(), expected[1], atol=2e-5)


def test_gradients_are_those_of_the_reference():
    splats, features = cloud(60)
    move = torch.zeros(6, dtype=torch.float64)
    leaves = [splats.means, splats.axes, splats.opacities, features, move]
    generator = torch.Generator().manual_seed(1)
    wanted = torch.rand(HEIGHT, WIDTH, 4, generator=generator, dtype=torch.float64)

    def gradients(draw) -> list[Tensor]:
        for leaf in leaves:
            leaf.requires_grad_()
        image, coverage = draw()
        loss = (torch.cat([image, coverage], dim=-1).double() - wanted).square().sum()
        return list(torch.autograd.grad(loss, leaves))

    found = gradients(lambda: draw_splats(splats, features, *rays(camera(move))))
    expected = gradients(lambda: reference(splats, features, INTRINSICS, camera(move), 1 / 255))
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.norm() > 0
        assert (ours - theirs).norm() < 2e-3 * theirs.norm()


def test_a_splat_smaller_than_a_pixel_weighs_as_much_as_it_covers():
    """Wherever it lies between the centers of pixels, and however far away: no flicker."""
    sums = []
    for shift in (0.0, 0.0007, 0.0014, 0.0021):
        middle = torch.tensor([[shift, 0.0, 0.0]], dtype=torch.float64)
        axes = 4e-4 * torch.eye(3, dtype=torch.float64)[None]
        _, coverage = draw_splats(Splats(middle, axes, torch.ones(1).double()), torch.ones(1, 1), *rays(camera()))
        sums.append(float(coverage.sum()))
    area = 2 * math.pi * (4e-4 / 0.4) ** 2 * 150 * 140
    assert max(sums) < 1.5 * min(sums)
    assert 0.5 * area < min(sums) and max(sums) < 1.5 * area


def test_nothing_in_the_image_is_black():
    splats, features = cloud(5)
    behind = Splats((splats.means - 10 * camera()[2, :3]).requires_grad_(), splats.axes, splats.opacities)
    image, coverage = draw_splats(behind, features, *rays(camera()))
    assert not image.any() and not coverage.any()
    image.sum().backward()
    assert torch.equal(behind.means.grad, torch.zeros_like(behind.means))


def test_threads_and_tiles_do_not_show(monkeypatch: pytest.MonkeyPatch):
    splats, features = cloud(200)
    splats = Splats(splats.means.requires_grad_(), splats.axes, splats.opacities)
    pictures, gradients = [], []
    for threads, tile in ((1, 16), (2, 5)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setitem(tiles.TILE, "cpu", tile)
        image, _ = draw_splats(splats, features, *rays(camera()))
        pictures.append(image)
        gradients.append(torch.autograd.grad(image.square().sum(), splats.means)[0])
    assert torch.allclose(*pictures, atol=1e-5)
    assert torch.allclose(*gradients, rtol=1e-3, atol=1e-3)
