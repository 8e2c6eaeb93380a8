"""First hits of rays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.barycentric import plane_barycentric
from nerfstudio_hands.geometry.kernels.cast import cast_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.query.structure import SearchStructure


@dataclass
class RayHits:
    """First hits of N rays."""

    face: Int[Tensor, " N"]
    """Face index, int64, closing faces included; -1 where nothing was hit."""
    barycentric: Float[Tensor, "N 3"]
    """Weights of the three corners of the face; zero where nothing was hit."""
    depth: Float[Tensor, " N"]
    """Distance along the direction as given, in its lengths; infinite where nothing was hit."""


def find_hits(
    structure: SearchStructure,
    origins: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    surface: Int[Tensor, " M"],
    max_distance: float,
) -> RayHits:
    """First hits in float32 without gradients, see :meth:`Surfaces.cast`; `surface` may be empty."""
    start, toward, count = contiguous_float32(origins), contiguous_float32(directions), len(origins)
    face = start.new_empty(count, dtype=torch.int64)
    barycentric, depth = start.new_empty(count, 3), start.new_empty(count)
    launch(
        cast_kernel,
        count,
        [
            structure.hierarchies,
            as_array(start, wp.vec3),
            as_array(toward, wp.vec3),
            as_array(surface, wp.int64),
            max_distance,
            as_array(face, wp.int64),
            as_array(barycentric, wp.vec3),
            as_array(depth, wp.float32),
        ],
    )
    return RayHits(face, barycentric, depth)


def recompute_hits(
    face: Int[Tensor, " N"],
    origins: Float[Tensor, "M 3"],
    directions: Float[Tensor, "M 3"],
    corners: Float[Tensor, "M 3 3"],
) -> RayHits:
    """The same faces' hits in the dtype of rays and corners, differentiable in all three.

    Args:
        face: What :func:`find_hits` found.
        origins: Of the M rays that hit.
        directions: Of the same.
        corners: Of the faces that they hit.
    """
    hit = torch.nonzero(face >= 0)[:, 0]
    weights, depth = plane_barycentric(origins, directions, corners)
    return RayHits(
        face,
        weights.new_zeros(len(face), 3).index_copy(0, hit, weights),
        depth.new_full((len(face),), math.inf).index_copy(0, hit, depth),
    )
