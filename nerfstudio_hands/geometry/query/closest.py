"""Nearest points and signed distances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.barycentric import blend_corners, closest_barycentric
from nerfstudio_hands.geometry.kernels.closest import closest_kernel, inside_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.query.structure import SearchStructure


@dataclass
class ClosestPoints:
    """Nearest surface points of N query points; what lies beyond `max_distance` has face -1 and zeros elsewhere."""

    face: Int[Tensor, " N"]
    """Face index, int64; at least the number of own faces where a closing face is nearest; -1 beyond `max_distance`."""
    barycentric: Float[Tensor, "N 3"]
    """Weights of the three corners of the face."""
    point: Float[Tensor, "N 3"]
    """Nearest surface point, metres, in the frame of the vertices."""
    signed_distance: Float[Tensor, " N"]
    """Metres, positive outside, infinite beyond `max_distance`."""
    normal: Float[Tensor, "N 3"]
    """Unit pseudonormal of the face, edge or vertex that is nearest; carries no gradient."""


def find_closest(
    structure: SearchStructure, points: Float[Tensor, "N 3"], surface: Int[Tensor, " M"], max_distance: float
) -> ClosestPoints:
    """Nearest points in float32 without gradients, see :meth:`Surfaces.closest`; `surface` may be empty."""
    query, count = contiguous_float32(points), len(points)
    new = query.new_empty
    face = new(count, dtype=torch.int64)
    barycentric, point, distance, normal = new(count, 3), new(count, 3), new(count), new(count, 3)
    launch(
        closest_kernel,
        count,
        [
            structure.arrays,
            as_array(query, wp.vec3),
            as_array(surface, wp.int64),
            max_distance,
            as_array(face, wp.int64),
            as_array(barycentric, wp.vec3),
            as_array(point, wp.vec3),
            as_array(distance, wp.float32),
            as_array(normal, wp.vec3),
        ],
    )
    return ClosestPoints(face, barycentric, point, distance, normal)


def recompute_closest(
    closest: ClosestPoints, points: Float[Tensor, "N 3"], corners: Float[Tensor, "N 3 3"]
) -> ClosestPoints:
    """The same faces' nearest points in the dtype of points and corners, differentiable in both.

    Args:
        closest: What :func:`find_closest` found.
        points: The points that asked.
        corners: Corners of the faces found; any where there is none.
    """
    dtype = torch.promote_types(points.dtype, corners.dtype)
    points, corners, normal = points.to(dtype), corners.to(dtype), closest.normal.to(dtype)
    found = closest.face >= 0
    barycentric = closest_barycentric(points, corners) * found[:, None]
    point = blend_corners(corners, barycentric)
    offset = points - point
    # The gradient of the length is the unit offset; on the surface itself, where it has none, it is the normal.
    length = offset.norm(dim=-1)
    sign = torch.where(closest.signed_distance < 0, -1.0, 1.0).to(dtype)
    signed = torch.where(length > 0, sign * length, (offset * normal).sum(-1))
    signed = torch.where(found, signed, math.inf)
    return ClosestPoints(closest.face, barycentric, point, signed, normal)


def find_inside(
    structure: SearchStructure, points: Float[Tensor, "N 3"], surface: Int[Tensor, " M"]
) -> Bool[Tensor, " N"]:
    """See :meth:`Surfaces.inside`."""
    inside = torch.empty(len(points), dtype=torch.bool, device=points.device)
    query = contiguous_float32(points)
    launch(
        inside_kernel,
        len(points),
        [structure.solids(), as_array(query, wp.vec3), as_array(surface, wp.int64), as_array(inside, wp.bool)],
    )
    return inside
