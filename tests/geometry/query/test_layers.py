"""Layers of soft surfaces, beside what dense samples of every ray say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.query.layers import SurfaceLayers

SHELL = 0.005
KINDS: tuple[Literal["density", "distance"], ...] = ("density", "distance")


@pytest.fixture(scope="module")
def palm_and_finger() -> Surfaces:
    """A palm of 8 x 8 x 2.5 cm, and 3 cm before it a finger along y of 8 mm radius."""
    palm = trimesh.creation.box((0.08, 0.08, 0.025)).subdivide().subdivide().subdivide()
    finger = trimesh.creation.capsule(height=0.06, radius=0.008, count=[24, 24])
    finger.apply_translation((0, 0, -finger.bounds.mean(0)[2]))
    finger.apply_transform(trimesh.transformations.rotation_matrix(torch.pi / 2, (1, 0, 0)))
    finger.apply_translation((0, 0, -0.05))
    scene = trimesh.util.concatenate([palm, finger])
    return Surfaces(torch.tensor(scene.faces.copy()), torch.tensor(scene.vertices, dtype=torch.float32)[None])


def rays(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    targets = (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor([0.1, 0.1, 0.0])
    origins = torch.tensor([0.02, 0.01, -0.4]).expand(count, 3)
    return origins, F.normalize(targets - origins, dim=-1)


def layers_of(surfaces: Surfaces, origins: Tensor, directions: Tensor, **changes) -> SurfaceLayers:
    asked = {
        "below": torch.full((*surfaces.vertices.shape[:2], 2), 0.0005),
        "counts": torch.ones(len(surfaces.faces), dtype=torch.bool),
        "scale": torch.tensor(4e-4),
        "kind": "density",
        "shell": SHELL,
    }
    return surfaces.layers(origins, directions, **{**asked, **changes})


def dense(
    surfaces: Surfaces,
    origins: Tensor,
    directions: Tensor,
    scale: float,
    kind: str,
    below: Callable[[Tensor], Tensor] = lambda distance: torch.full_like(distance, 0.0005),
) -> tuple[Tensor, Tensor]:
    """Opacity and mean depth of rays whose surface lies below the given one."""
    spacing = 1e-4
    depth = torch.arange(0.3, 0.43, spacing)
    points = origins[:, None] + depth[None, :, None] * directions[:, None]
    distance = surfaces.closest(points.reshape(-1, 3)).signed_distance.view(points.shape[:2]).double()
    outside = (distance.abs() > SHELL) | ((distance < -SHELL).int().cumsum(1) > 0)
    height = (distance + below(distance)) / scale
    if kind == "density":
        tail = 0.5 * torch.exp(-height.abs())
        lost = torch.where(outside, 0, torch.where(height > 0, tail, 1 - tail) * spacing / scale)
    else:
        logarithm = F.logsigmoid(height)
        fall = F.pad((logarithm[:, :-1] - logarithm[:, 1:]).clamp(min=0), (1, 0))
        lost = torch.where(outside | F.pad(outside[:, :-1], (1, 0)), 0, fall)
    through = torch.exp(-lost.cumsum(1))
    weight = F.pad(through[:, :-1], (1, 0), value=1) - through
    opacity = weight.sum(1)
    return opacity.float(), ((weight * depth).sum(1) / opacity.clamp(min=1e-9)).float()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-4, 4e-4, 8e-4])
def test_as_opaque_and_as_deep_as_dense_samples_say(palm_and_finger: Surfaces, scale: float, kind) -> None:
    origins, directions = rays(300)
    found = layers_of(palm_and_finger, origins, directions, scale=torch.tensor(scale), kind=kind)
    opacity, depth = dense(palm_and_finger, origins, directions, scale, kind)
    through = torch.exp(-found.optical_depth.cumsum(1))
    weight = F.pad(through[:, :-1], (1, 0), value=1.0) - through
    error = (weight.sum(1) - opacity).abs()
    assert ((opacity > 0.02) & (opacity < 0.98)).sum() > 4, "rays past the rim are what is difficult"
    assert error.mean() < 8e-3 and error.quantile(0.97) < 0.05
    solid = opacity > 0.9
    mean = (weight * found.depth).sum(1) / weight.sum(1).clamp(min=1e-9)
    off = (mean - depth)[solid].abs()
    assert solid.float().mean() > 0.4
    assert off.median() < 1e-4 and off.quantile(0.95) < 1e-3


def test_a_ray_past_a_finger_meets_two_layers(palm_and_finger: Surfaces) -> None:
    # 1 mm beside the finger's skin, a width of 0.8 mm: half of the light goes on to the palm.
    origins, directions = torch.tensor([[0.009, 0.0, -0.4], [0.03, 0.0, -0.4]]), torch.tensor([[0.0, 0, 1], [0, 0, 1]])
    found = layers_of(palm_and_finger, origins, directions, scale=torch.tensor(8e-4))
    assert (found.optical_depth > 0).sum(1).tolist() == [2, 1]
    assert found.depth[0, :2].tolist() == pytest.approx([0.35, 0.388], abs=1e-3)
    assert 0.3 < float(found.optical_depth[0, 0]) < 3 < float(found.optical_depth[0, 1])
    assert float(found.depth[1, 0]) == pytest.approx(float(found.depth[0, 1]), abs=1e-5)


def test_what_does_not_count_is_empty(palm_and_finger: Surfaces) -> None:
    origins, directions = rays(100)
    all_of_it = layers_of(palm_and_finger, origins, directions)
    is_finger = palm_and_finger.vertices[0, palm_and_finger.faces, 2].amax(1) < -0.03
    without = layers_of(palm_and_finger, origins, directions, counts=~is_finger)
    nothing = layers_of(palm_and_finger, origins, directions, counts=torch.zeros_like(is_finger))
    assert (all_of_it.depth[:, 0] < 0.37).sum() > 10 == 10 + (without.depth[without.optical_depth > 0] < 0.37).sum()
    assert (nothing.optical_depth == 0).all() and (nothing.depth == 0).all()


def test_rays_that_start_before_the_shell_meet_the_same(palm_and_finger: Surfaces) -> None:
    origins, directions = rays(100)
    whole = layers_of(palm_and_finger, origins, directions)
    met = whole.optical_depth[:, 0] > 0
    samples = palm_and_finger.march(origins, directions, shell=SHELL, num_samples=8)
    starts = torch.full((100,), torch.inf)
    starts[samples.ray] = samples.depth[:, 0] - samples.width[:, 0]
    later = layers_of(palm_and_finger, origins, directions, starts=starts)
    assert met.sum() > 40
    assert (torch.exp(-whole.optical_depth) - torch.exp(-later.optical_depth)).abs()[:, 0].median() < 1e-3
    none = layers_of(palm_and_finger, origins, directions, starts=torch.full((100,), torch.inf))
    assert (none.optical_depth == 0).all()


def test_a_ball_on_the_way_to_a_wall_is_met() -> None:
    """The wall is nearest where rays begin, and comes nearer all the way."""
    wall = trimesh.creation.box((0.02, 0.2, 0.6)).subdivide().subdivide().subdivide()
    wall.apply_translation((-0.01, 0, 0))
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.012)
    start, goal = torch.tensor([0.06, 0.0, -0.25]), torch.tensor([0.0, 0.0, 0.25])
    ball.apply_translation(((start + goal) / 2).numpy())
    scene = trimesh.util.concatenate([wall, ball])
    surfaces = Surfaces(torch.tensor(scene.faces.copy()), torch.tensor(scene.vertices, dtype=torch.float32)[None])
    origins = start + torch.linspace(-0.008, 0.008, 9)[:, None] * torch.tensor([0.0, 1.0, 0.0])
    found = layers_of(surfaces, origins, F.normalize(goal - start, dim=0).expand(9, 3))
    assert (found.depth[:, 0] < 0.26).all() and (found.depth[:, 0] > 0.23).all()
    assert (found.optical_depth[:, 0] > 4).all()


def test_what_lies_below_may_hang_on_the_distance(palm_and_finger: Surfaces) -> None:
    """Fields learn an edge: a millimeter above the surface more lies below than at it."""

    def below(distance: Tensor) -> Tensor:
        return -0.0003 + 0.0015 * torch.sigmoid((distance - 0.0006) / 1e-4)

    origins, directions = rays(300)
    table = below(torch.linspace(-SHELL, SHELL, 65)).expand(1, palm_and_finger.vertices.shape[1], -1)
    found = layers_of(palm_and_finger, origins, directions, below=table)
    opacity, depth = dense(palm_and_finger, origins, directions, 4e-4, "density", below)
    plain, _ = dense(palm_and_finger, origins, directions, 4e-4, "density")
    error = (1 - torch.exp(-found.optical_depth.sum(1)) - opacity).abs()
    assert error.mean() < 5e-3 and (plain - opacity).abs().mean() > 2 * error.mean()
    off = (found.depth[:, 0] - depth)[opacity > 0.99].abs()
    assert off.median() < 1e-4
