"""Self-shadow coefficients against closed forms and plain Monte Carlo."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh
from nerfstudio.utils.math import components_from_spherical_harmonics

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.light.transfer import light_transfer


def test_a_convex_body_has_the_coefficients_of_the_clamped_cosine():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    vertices = torch.from_numpy(ball.vertices).float()[None]
    normals = torch.nn.functional.normalize(vertices, dim=-1)
    found = light_transfer(Surfaces(torch.from_numpy(ball.faces), vertices), normals, num_directions=2048)
    # Ramamoorthi and Hanrahan, SIGGRAPH 2001, equation 8: pi, 2 pi / 3, pi / 4 and zero for levels 0 to 3; over pi.
    bands = torch.tensor([1.0] + [2 / 3] * 3 + [1 / 4] * 5 + [0.0] * 7)
    expected = bands * components_from_spherical_harmonics(4, normals[0])
    assert torch.allclose(found[0], expected, atol=0.01)


def below_a_roof() -> tuple[Surfaces, torch.Tensor, torch.Tensor]:
    """A floor with a roof 4 cm above it, normals, and the vertex in the middle of the floor."""
    floor, roof = trimesh.creation.box((0.4, 0.4, 0.01)), trimesh.creation.box((0.4, 0.4, 0.01))
    roof.apply_translation([0, 0, 0.05])
    both = trimesh.util.concatenate([floor, roof]).subdivide().subdivide().subdivide()
    vertices = torch.from_numpy(both.vertices).float()
    middle = int((vertices - torch.tensor([0.0, 0.0, 0.005])).norm(dim=-1).argmin())
    normals = torch.zeros_like(vertices)
    normals[middle, 2] = 1.0
    return Surfaces(torch.from_numpy(both.faces), vertices[None]), normals[None], torch.tensor([middle])


def test_a_roof_takes_the_light_from_above():
    surfaces, normals, middle = below_a_roof()
    found = light_transfer(surfaces, normals, num_directions=4096, reach=1.0)[0, middle, 0]
    # Light of radiance one from all sides: what passes below the roof's edge, by a plain sum over another lattice.
    height, half = 0.045 - 0.005 - 0.0005, 0.2
    azimuth = (torch.arange(1000) + 0.5) * 2 * math.pi / 1000
    edge = half / torch.maximum(azimuth.cos().abs(), azimuth.sin().abs())
    open_share = float((height**2 / (height**2 + edge**2)).mean())
    assert float(found) / 0.28209479 == pytest.approx(open_share, abs=0.006)
    assert open_share < 0.1


def test_what_passes_and_what_is_taken_away_make_up_all_light_and_beyond_reach_nothing_is():
    surfaces, normals, middle = below_a_roof()
    options = {"num_directions": 1024, "vertices": middle}
    passed = light_transfer(surfaces, normals, reach=1.0, **options)
    taken = light_transfer(surfaces, normals, reach=1.0, blocked=True, **options)
    free = light_transfer(surfaces, normals, reach=0.03, **options)
    assert float(free[0, 0, 0]) / 0.28209479 == pytest.approx(1.0, abs=0.01)
    assert taken[0, 0, 0] > 0.8 * free[0, 0, 0]
    assert torch.allclose(passed + taken, free, atol=1e-5)
    assert not light_transfer(surfaces, normals, reach=0.03, blocked=True, **options).any()
