"""Light from far away as real spherical harmonics, and the irradiance that it gives.

Orthonormal, ordered by level l and, within it, from m = -l to l; without the Condon-Shortley phase, so that level one
is (y, z, x) times a positive number. It is the basis of `nerfstudio.utils.math.components_from_spherical_harmonics`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

CLAMPED_COSINE = (1.0, 2 / 3, 1 / 4, 0.0)
"""Coefficients of max(cos, 0) over pi for levels 0 to 3 (Ramamoorthi and Hanrahan, "An efficient representation for
irradiance environment maps", SIGGRAPH 2001, equation 8)."""

ROWS_AT_ONCE = 64
"""Rows of a picture whose harmonics are held in memory together."""


def spherical_harmonics(num_levels: int, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch C"]:
    """Values of the basis in unit directions.

    Args:
        num_levels: Levels, from 1 to 4; C is its square.
        directions: Unit vectors.
    """
    if not 1 <= num_levels <= 4:
        raise ValueError(f"expected 1 to 4 levels of spherical harmonics, found {num_levels}")
    x, y, z = directions.unbind(-1)
    # Factors: square roots of (2l + 1) (l - m)! / (4 pi (l + m)!), doubled under the root for m other than 0.
    columns = [torch.full_like(x, 0.28209479177387814)]
    xx, yy, zz = x * x, y * y, z * z
    if num_levels > 1:
        columns += [0.4886025119029199 * axis for axis in (y, z, x)]
    if num_levels > 2:
        columns += [1.0925484305920792 * x * y, 1.0925484305920792 * y * z]
        columns += [0.9461746957575601 * zz - 0.31539156525252005]
        columns += [1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy)]
    if num_levels > 3:
        columns += [0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z]
        columns += [0.4570457994644658 * y * (5 * zz - 1), 0.3731763325901154 * z * (5 * zz - 3)]
        columns += [0.4570457994644658 * x * (5 * zz - 1), 1.445305721320277 * z * (xx - yy)]
        columns += [0.5900435899266435 * x * (xx - 3 * yy)]
    return torch.stack(columns, dim=-1)


def irradiance(
    coefficients: Float[Tensor, "*light C channels"], normals: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch channels"]:
    """Irradiance over pi on surfaces that nothing shades: what a white matt surface shows. Times albedo it is a color.

    Radiance one from all sides gives one. Nine coefficients are right to 1 % on average (Ramamoorthi and Hanrahan), yet
    a single small source comes out slightly negative on the far side.

    Args:
        coefficients: Radiance in the frame of the normals, C = 1, 4, 9 or 16; leading axes as for `torch.matmul`.
        normals: Unit normals.
    """
    num_levels = _num_levels(coefficients)
    factors = _cosine_factors(num_levels, coefficients.device, coefficients.dtype)
    return spherical_harmonics(num_levels, normals) @ (factors[:, None] * coefficients)


@lru_cache
def _cosine_factors(num_levels: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "C"]:
    """Sent to a GPU once, because it is waited for."""
    factors = [CLAMPED_COSINE[level] for level in range(num_levels) for _ in range(2 * level + 1)]
    return torch.tensor(factors, device=device, dtype=dtype)


def project_environment(image: Float[Tensor, "H W channels"]) -> Float[Tensor, "9 channels"]:
    """Coefficients of the first three levels of an environment.

    The sum over a picture's many pixels is taken in double precision: in single precision it would depend on the order
    in which a processor adds, from the fourth digit on.

    Args:
        image: Linear radiance in all directions, see :func:`equirectangular_directions`.
    """
    height, width = image.shape[:2]
    directions = equirectangular_directions(height, width).to(image.device)
    edges = torch.linspace(0, math.pi, height + 1, dtype=torch.float64, device=image.device).cos()
    solid_angles = (edges[:-1] - edges[1:]) * (2 * math.pi / width)
    result = solid_angles.new_zeros(9, image.shape[-1])
    for rows in torch.arange(height, device=image.device).split(ROWS_AT_ONCE):
        values = image[rows] * solid_angles[rows, None, None]
        result += torch.einsum("hwk,hwc->kc", spherical_harmonics(3, directions[rows].double()), values)
    return result.to(image)


def equirectangular_directions(height: int, width: int) -> Float[Tensor, "H W 3"]:
    """World directions of the pixel centers of a panorama; z is up.

    The first row looks up, the middle of the picture along +x, and its right half towards -y: seen from inside, as
    Blender's Environment Texture has it.
    """
    elevation = (0.5 - (torch.arange(height, dtype=torch.float64) + 0.5) / height) * math.pi
    azimuth = (0.5 - (torch.arange(width, dtype=torch.float64) + 0.5) / width) * 2 * math.pi
    elevation, azimuth = torch.meshgrid(elevation, azimuth, indexing="ij")
    x, y = elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin()
    return torch.stack([x, y, elevation.sin()], dim=-1).float()


def rotate(coefficients: Float[Tensor, "C channels"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "C channels"]:
    """The light turned: what came from direction d comes from `rotation @ d`.

    Each level stays in itself, so that values in enough directions determine the result exactly.
    """
    num_levels = _num_levels(coefficients)
    directions = sphere_directions(4 * num_levels**2).double()
    before = spherical_harmonics(num_levels, directions @ rotation.double().cpu())
    matrix = torch.linalg.lstsq(spherical_harmonics(num_levels, directions), before).solution
    return matrix.to(coefficients) @ coefficients


def rotate_about_vertical(coefficients: Float[Tensor, "C channels"], azimuth: float) -> Float[Tensor, "C channels"]:
    """The light turned about the vertical axis z by an angle in radians, counter-clockwise seen from above."""
    cosine, sine = math.cos(azimuth), math.sin(azimuth)
    return rotate(coefficients, torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]))


def sphere_directions(count: int) -> Float[Tensor, "D 3"]:
    """Unit vectors spread evenly over the sphere (Fibonacci lattice; Gonzalez, Mathematical Geosciences 2010)."""
    index = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * index + 1) / count
    azimuth = index * math.pi * (3 - math.sqrt(5))
    radius = (1 - z.square()).sqrt()
    return torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], dim=-1).float()


def _num_levels(coefficients: Tensor) -> int:
    count = coefficients.shape[-2]
    num_levels = math.isqrt(count)
    if num_levels**2 != count or not 1 <= num_levels <= 4:
        raise ValueError(f"expected 1, 4, 9 or 16 coefficients a channel, found {count}")
    return num_levels
