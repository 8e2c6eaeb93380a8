"""How a surface's own form dims the light that reaches it: self-shadow as a few numbers a vertex."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.transforms.spherical_harmonics import sphere_directions, spherical_harmonics

NUM_DIRECTIONS = 64
"""Directions over the sphere in which light is looked for by default."""

LIFT = 5e-4
"""Metres by which rays start above the surface, or they would meet the faces they start from."""


@torch.no_grad()
def light_transfer(
    surfaces: Surfaces,
    normals: Float[Tensor, "S V 3"],
    *,
    num_levels: int = 4,
    num_directions: int = NUM_DIRECTIONS,
    reach: float = 0.2,
    vertices: Int[Tensor, " W"] | None = None,
    blocked: bool = False,
) -> Float[Tensor, "S W C"]:
    """Spherical-harmonic coefficients of the visible cosine at every vertex (precomputed radiance transfer: Sloan,
    Kautz and Snyder, SIGGRAPH 2002).

    Light from far away with coefficients L gives the irradiance `pi * (L * transfer).sum()`, self-shadow included. The
    frame is that of the vertices, so that a hand that turns under a fixed light changes its coefficients.

    Args:
        surfaces: The posed surfaces.
        normals: Unit vertex normals.
        num_levels: Levels of harmonics, see `spherical_harmonics`; C is its square.
        num_directions: Directions over the sphere by which the integral is taken, the same for all vertices.
        reach: Metres beyond which nothing casts a shadow.
        vertices: Those that are asked about; by default all.
        blocked: Whether the coefficients are wanted of what the surface takes away instead of what it lets through.
    """
    chosen = torch.arange(normals.shape[1], device=normals.device) if vertices is None else vertices
    directions = sphere_directions(num_directions).to(normals)
    cosine = surfaces.visible_cosines(chosen, normals[:, chosen], directions, lift=LIFT, reach=reach, blocked=blocked)
    return cosine.to(normals) @ spherical_harmonics(num_levels, directions) * (4 / num_directions)
