from __future__ import annotations

import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry import ShellSamples, Surfaces
from nerfstudio_hands.geometry.query.march import MIN_STEP_PER_SHELL

SHELL = 0.005
MIN_STEP = SHELL * MIN_STEP_PER_SHELL
FINGER_FRONT = -0.058
"""Where the fingers begin on the z axis, along which the camera looks; the palm begins at -0.0125."""


@pytest.fixture(scope="module")
def palm_and_fingers() -> Surfaces:
    """A palm of 8 x 8 x 2.5 cm, and 3 cm before it two fingers along y of 8 mm radius, 18 mm apart."""
    palm = trimesh.creation.box((0.08, 0.08, 0.025)).subdivide().subdivide().subdivide()
    parts = [palm]
    for x in (-0.009, 0.009):
        finger = trimesh.creation.capsule(height=0.06, radius=0.008, count=[24, 24])
        finger.apply_translation((0, 0, -finger.bounds.mean(0)[2]))
        finger.apply_transform(trimesh.transformations.rotation_matrix(torch.pi / 2, (1, 0, 0)))
        finger.apply_translation((x, 0, -0.05))
        parts.append(finger)
    scene = trimesh.util.concatenate(parts)
    return Surfaces(torch.tensor(scene.faces.copy()), torch.tensor(scene.vertices, dtype=torch.float32)[None])


def rays_from(origin: tuple[float, float, float], count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    targets = (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor([0.12, 0.12, 0.0])
    origins = torch.tensor(origin).expand(count, 3)
    return origins, torch.nn.functional.normalize(targets - origins, dim=-1)


def dense_shell(surfaces: Surfaces, origins: Tensor, directions: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each depth of each ray is in the shell and before what is opaque, and whether the ray is a clear case.

    A ray is clear if it cuts nothing off, neither shell nor gap nor core, that is shorter than the smallest march step,
    and does not just touch the core either, where the spacing of the depths would decide.
    """
    points = origins[:, None] + depth[None, :, None] * directions[:, None]
    distance = surfaces.closest(points.reshape(-1, 3)).signed_distance.reshape(points.shape[:2])
    state = (distance > SHELL).int() - (distance < -SHELL).int()
    shortest = int(MIN_STEP / (depth[1] - depth[0])) + 1
    changes = torch.nn.functional.pad((state.diff(dim=1) != 0).int().cumsum(1), (1, 0))
    run_lengths = torch.zeros_like(state).scatter_add_(1, changes.long(), torch.ones_like(state))
    # A ray's first part may be short, as its start cuts it.
    cut_short = ((run_lengths > 0) & (run_lengths <= shortest))[:, 1:].any(1)
    touches = (distance.amin(1) + SHELL).abs() < 5e-5
    clear = ~cut_short & ~touches
    return (state == 0) & ((state < 0).int().cumsum(1) == 0), clear


@pytest.mark.parametrize(
    "origin",
    [(0.02, 0.01, -0.4), (0.0, 0.0, -0.061), (0.3, 0.05, -0.04), (0.0, 0.0, -0.03)],
    ids=["camera", "in the shell", "from the side", "between fingers and palm"],
)
def test_samples_cover_what_dense_sampling_finds(
    palm_and_fingers: Surfaces, origin: tuple[float, float, float]
) -> None:
    origins, directions = rays_from(origin, 300)
    samples = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=64)
    spacing = 2e-4
    depth = torch.arange(0, 0.6, spacing)
    expected, clear = dense_shell(palm_and_fingers, origins, directions, depth)
    length = expected.sum(1) * spacing
    found = torch.zeros(300)
    found[samples.ray] = samples.width.sum(1)
    assert clear.float().mean() > 0.8
    assert (length[clear] > 0).float().mean() > 0.3
    assert torch.equal((found > 0)[clear], (length > 0)[clear])
    error = (found - length)[clear].abs()
    assert error.mean() < 2e-4
    assert error.max() < MIN_STEP
    # No hole: each place that belongs to the shell has a sample about as near as the samples are dense.
    for ray, depths, width in zip(samples.ray.tolist(), samples.depth, samples.width, strict=True):
        inside = depth[expected[ray]]
        if clear[ray]:
            gap = (inside[:, None] - depths[None]).abs().amin(1)
            assert gap.max() < width[0] / 2 + MIN_STEP


def test_samples_are_sorted_in_the_shell_and_jitter_moves_them_in_their_strata(palm_and_fingers: Surfaces) -> None:
    origins, directions = rays_from((0.02, 0.01, -0.4), 500)
    middle = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=16)
    jitter = torch.rand(500, 16, generator=torch.Generator().manual_seed(2))
    moved = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=16, jitter=jitter)
    assert torch.equal(middle.ray, moved.ray)
    for samples in (middle, moved):
        assert (samples.depth.diff(dim=1) >= 0).all()
        points = origins[samples.ray, None] + samples.depth[..., None] * directions[samples.ray, None]
        distance = palm_and_fingers.closest(points.reshape(-1, 3)).signed_distance.abs()
        # A gap too short to be noticed is V-shaped, half as deep as it is long.
        assert distance.max() < SHELL + MIN_STEP / 2 + 1e-4
        assert (distance < SHELL + 1e-4).float().mean() > 0.99
    one_interval = (middle.depth.diff(dim=1) - middle.width[:, 1:]).abs().amax(1) < 1e-5
    assert one_interval.float().mean() > 0.3
    shift = (moved.depth - middle.depth)[one_interval]
    expected = (jitter[middle.ray] - 0.5)[one_interval] * middle.width[one_interval]
    assert (shift - expected).abs().max() < 1e-6


def interval_bounds(samples: ShellSamples) -> list[tuple[float, float]]:
    """First and last depth of each run of evenly spaced samples of the only ray."""
    depth, width = samples.depth[0], float(samples.width[0, 0])
    cuts = torch.nonzero(depth.diff() > 1.5 * width)[:, 0].tolist()
    starts, ends = [0, *[cut + 1 for cut in cuts]], [*cuts, len(depth) - 1]
    return [(float(depth[a]) - width / 2, float(depth[b]) + width / 2) for a, b in zip(starts, ends, strict=True)]


def test_ray_past_a_finger_meets_finger_and_palm(palm_and_fingers: Surfaces) -> None:
    # At x = 19.5 mm the ray passes 10.5 mm beside the axis of a finger, 2.5 mm beside its skin, then enters the palm.
    origins, directions = torch.tensor([[0.0195, 0.0, -0.4]]), torch.tensor([[0.0, 0.0, 1.0]])
    samples = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=400)
    (finger_begin, finger_end), (palm_begin, palm_end) = interval_bounds(samples)
    half_chord = (0.013**2 - 0.0105**2) ** 0.5
    assert finger_begin == pytest.approx(0.35 - half_chord, abs=4e-4)
    assert finger_end == pytest.approx(0.35 + half_chord, abs=4e-4)
    assert palm_begin == pytest.approx(0.4 - 0.0125 - SHELL, abs=1e-4)
    assert palm_end == pytest.approx(0.4 - 0.0125 + SHELL, abs=1e-4)


def test_ray_into_a_finger_ends_in_it(palm_and_fingers: Surfaces) -> None:
    origins, directions = torch.tensor([[0.009, 0.0, -0.4]]), torch.tensor([[0.0, 0.0, 1.0]])
    samples = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=200)
    ((begin, end),) = interval_bounds(samples)
    assert begin == pytest.approx(0.4 + FINGER_FRONT - SHELL, abs=2e-4)
    assert end == pytest.approx(0.4 + FINGER_FRONT + SHELL, abs=2e-4)


def test_grazing_and_axis_parallel_rays(palm_and_fingers: Surfaces) -> None:
    # Along +x over the front of the palm, parallel to the faces of its box, at heights in and out of its shell.
    heights = torch.tensor([0.001, 0.004, 0.0049, 0.006])
    origins = torch.stack([torch.full((4,), -0.3), torch.full((4,), -0.02), 0.0125 + heights], dim=1)
    directions = torch.tensor([[1.0, 0.0, 0.0]]).expand(4, 3)
    samples = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=32)
    assert samples.ray.tolist() == [0, 1, 2]
    rim = (SHELL**2 - heights[:3] ** 2).sqrt()
    assert torch.allclose(samples.width.sum(1), 0.08 + 2 * rim, atol=1e-3)
    away = palm_and_fingers.march(origins, -directions, shell=SHELL, num_samples=32)
    assert len(away.ray) == 0


def test_origin_deep_inside_sees_nothing(palm_and_fingers: Surfaces) -> None:
    samples = palm_and_fingers.march(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]), shell=SHELL, num_samples=4)
    assert samples.depth.shape == (0, 4)


def test_each_ray_marches_its_own_surface(palm_and_fingers: Surfaces) -> None:
    vertices = palm_and_fingers.vertices[0]
    both = Surfaces(palm_and_fingers.faces, torch.stack([vertices, vertices + torch.tensor([0.0, 0.0, 0.1])]))
    origins, directions = rays_from((0.0, 0.0, -0.4), 100)
    first = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=8)
    samples = both.march(
        torch.cat([origins, origins + torch.tensor([0.0, 0.0, 0.1])]),
        directions.repeat(2, 1),
        torch.arange(2).repeat_interleave(100),
        shell=SHELL,
        num_samples=8,
    )
    assert torch.equal(samples.ray, torch.cat([first.ray, first.ray + 100]))
    assert (samples.depth - first.depth.repeat(2, 1)).abs().max() < 2e-4


def test_a_surface_that_moved_is_marched_where_it_is_now(palm_and_fingers: Surfaces) -> None:
    vertices = palm_and_fingers.vertices
    origins, directions = rays_from((0.0, 0.0, -0.4), 100)
    first = palm_and_fingers.march(origins, directions, shell=SHELL, num_samples=8)
    # Far beyond the box that was around it.
    aside = torch.tensor([0.5, -0.3, 0.2])
    moved = Surfaces(palm_and_fingers.faces, vertices)
    moved.update(vertices + aside)
    samples = moved.march(origins + aside, directions, shell=SHELL, num_samples=8)
    assert len(first.ray) > 20
    assert torch.equal(samples.ray, first.ray)
    assert (samples.depth - first.depth).abs().max() < 2e-4
