"""Harmonics against scipy's, and all that is made of them against plain sums over the sphere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nerfstudio.utils.math import components_from_spherical_harmonics
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from nerfstudio_hands.transforms.spherical_harmonics import (
    equirectangular_directions,
    irradiance,
    project_environment,
    rotate,
    rotate_about_vertical,
    sphere_directions,
    spherical_harmonics,
)


@pytest.fixture(scope="module")
def sphere() -> tuple[torch.Tensor, torch.Tensor]:
    """Directions and weights that integrate polynomials up to degree 31 over the sphere (Gauss by trapezium)."""
    z, weight = np.polynomial.legendre.leggauss(16)
    azimuth = 2 * np.pi * np.arange(32) / 32
    radius = np.sqrt(1 - z**2)[:, None]
    directions = np.stack(np.broadcast_arrays(radius * np.cos(azimuth), radius * np.sin(azimuth), z[:, None]), axis=-1)
    return torch.from_numpy(directions.reshape(-1, 3)), torch.from_numpy(np.repeat(weight, 32) * 2 * np.pi / 32)


@pytest.fixture
def light() -> torch.Tensor:
    return torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_values_are_scipys_real_combinations(sphere):
    x, y, z = sphere[0].T.numpy()
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    expected = []
    for level in range(4):
        for order in range(-level, level + 1):
            value = sph_harm_y(level, abs(order), polar, azimuth)
            part = value.real if order >= 0 else value.imag
            # Condon and Shortley's sign is taken out again.
            expected.append(part * (math.sqrt(2) * (-1) ** order if order else 1))
    found = spherical_harmonics(4, sphere[0])
    np.testing.assert_allclose(found.numpy(), np.stack(expected, axis=-1), atol=1e-12)


@pytest.mark.parametrize("num_levels", [1, 2, 3, 4])
def test_values_are_nerfstudios(num_levels):
    directions = sphere_directions(200)
    expected = components_from_spherical_harmonics(num_levels, directions)
    assert torch.allclose(spherical_harmonics(num_levels, directions), expected, atol=2e-7)


def test_basis_is_orthonormal(sphere):
    values = spherical_harmonics(4, sphere[0])
    assert torch.allclose(values.T @ (sphere[1][:, None] * values), torch.eye(16).double(), atol=1e-12)


def test_constant_radiance_lights_every_normal_alike(sphere):
    light = torch.zeros(9, 1, dtype=torch.float64)
    light[0] = math.sqrt(4 * math.pi)
    assert torch.allclose(irradiance(light, sphere[0]), torch.ones(1).double())


@pytest.mark.parametrize("num_levels", [1, 2, 3, 4])
def test_irradiance_is_the_cosine_weighted_sum(num_levels):
    light = torch.randn(num_levels**2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    directions = sphere_directions(200_000).double()
    radiance = spherical_harmonics(num_levels, directions) @ light
    normals = torch.nn.functional.normalize(torch.randn(4, 5, 3, dtype=torch.float64), dim=-1)
    cosine = (normals @ directions.T).clamp(min=0)
    expected = cosine @ radiance * (4 / len(directions))
    assert torch.allclose(irradiance(light, normals), expected, atol=1e-4)


def test_each_view_may_have_its_own_light(light):
    lights = torch.stack([light, 2 * light])
    normals = torch.nn.functional.normalize(torch.randn(2, 7, 3, dtype=torch.float64), dim=-1)
    found = irradiance(lights, normals)
    assert torch.allclose(found[1], 2 * irradiance(light, normals[1]))


def test_gradients(light):
    normals = torch.nn.functional.normalize(torch.randn(3, 3, dtype=torch.float64), dim=-1).requires_grad_()
    assert torch.autograd.gradcheck(irradiance, (light.requires_grad_(), normals))


def test_a_panorama_gives_its_coefficients_back(light):
    directions = equirectangular_directions(128, 256).double()
    found = project_environment(spherical_harmonics(3, directions) @ light)
    assert torch.allclose(found, light, atol=1e-3)


def test_a_panorama_of_sharp_light_is_projected_as_a_plain_sum_does():
    """A cap of 20 degrees round an oblique direction, summed over a lattice of directions as well."""
    middle = torch.nn.functional.normalize(torch.tensor([0.3, -0.8, 0.5]), dim=0)

    def radiance(directions):
        return ((directions @ middle) > math.cos(math.radians(20))).float()[..., None] * torch.tensor([1.0, 2.0, 3.0])

    directions = sphere_directions(400_000)
    expected = spherical_harmonics(3, directions).T @ radiance(directions) * (4 * math.pi / len(directions))
    found = project_environment(radiance(equirectangular_directions(256, 512)))
    assert torch.allclose(found, expected, atol=3e-3)


def test_single_precision_images_are_summed_in_double_precision():
    """A sum of 131,072 numbers that are all positive: in single precision it is off from the fifth digit on."""
    image = torch.rand(256, 512, 3, generator=torch.Generator().manual_seed(0))
    found = project_environment(image)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), project_environment(image.double()), rtol=0, atol=1e-6)


def test_axes_of_a_panorama():
    directions = equirectangular_directions(64, 128)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(64, 128))
    assert (directions[0, :, 2] > 0.99).all() and (directions[-1, :, 2] < -0.99).all()
    assert directions[31:33, 63:65].mean(dim=(0, 1))[0] > 0.99
    assert directions[32, 96, 1] < -0.99


def test_turned_light_comes_from_the_turned_direction(light):
    rotation = torch.from_numpy(Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix())
    directions = sphere_directions(50).double()
    found = spherical_harmonics(3, directions @ rotation.T) @ rotate(light, rotation)
    assert torch.allclose(found, spherical_harmonics(3, directions) @ light, atol=1e-10)


def test_a_quarter_turn_rolls_the_panorama(light):
    image = spherical_harmonics(3, equirectangular_directions(64, 128).double()) @ light
    rolled = project_environment(image.roll(-32, dims=1))
    assert torch.allclose(rotate_about_vertical(project_environment(image), math.pi / 2), rolled, atol=1e-6)


def test_a_wrong_number_of_coefficients():
    with pytest.raises(ValueError, match="1, 4, 9 or 16 coefficients a channel, found 8"):
        irradiance(torch.zeros(8, 3), torch.zeros(1, 3))


def test_directions_are_even():
    directions = sphere_directions(500)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(500), atol=1e-6)
    assert directions.mean(dim=0).abs().max() < 5e-3
    nearest = (directions @ directions.T - 2 * torch.eye(500)).amax(dim=1).arccos()
    assert nearest.min() > 0.75 * nearest.max()
