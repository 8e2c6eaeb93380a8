"""How a surface's own form dims the light that reaches it: self-shadow as a few numbers a vertex."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from nerfstudio.utils.math import components_from_spherical_harmonics
from torch import Tensor

from nerfstudio_hands.geometry.surface_query import Surfaces

LIFT = 5e-4
"""Metres by which rays start above the surface, or they would meet the faces they start from."""


@torch.no_grad()
def light_transfer(
    surfaces: Surfaces,
    normals: Float[Tensor, "S V 3"],
    *,
    num_levels: int = 4,
    num_directions: int = 64,
    reach: float = 0.2,
) -> Float[Tensor, "S V C"]:
    """Spherical-harmonic coefficients of the visible cosine at every vertex (precomputed radiance transfer: Sloan,
    Kautz and Snyder, SIGGRAPH 2002).

    Light from far away with coefficients L gives the irradiance `pi * (L * transfer).sum()`, self-shadow included. The
    frame is that of the vertices, so that a hand that turns under a fixed light changes its coefficients.

    Args:
        surfaces: The posed surfaces.
        normals: Unit vertex normals.
        num_levels: Levels of harmonics; C is its square.
        num_directions: Directions over the sphere by which the integral is taken, the same for all vertices.
        reach: Metres beyond which nothing casts a shadow.
    """
    directions = sphere_directions(num_directions).to(normals)
    harmonics = components_from_spherical_harmonics(num_levels, directions)  # [D, C]
    cosine = torch.einsum("svc,dc->svd", normals, directions).clamp(min=0)
    surface, vertex, direction = torch.nonzero(cosine, as_tuple=True)
    starts = (surfaces.vertices.detach().to(normals) + LIFT * normals)[surface, vertex]
    hits = surfaces.cast(starts, directions[direction], surface, max_distance=reach)
    shaded = hits.face >= 0
    cosine[surface[shaded], vertex[shaded], direction[shaded]] = 0
    return cosine @ harmonics * (4 / num_directions)


def sphere_directions(count: int) -> Float[Tensor, "D 3"]:
    """Unit vectors spread evenly over the sphere (Fibonacci lattice; Gonzalez, Mathematical Geosciences 2010)."""
    index = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * index + 1) / count
    azimuth = index * math.pi * (3 - math.sqrt(5))
    radius = (1 - z.square()).sqrt()
    return torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], dim=-1).float()
