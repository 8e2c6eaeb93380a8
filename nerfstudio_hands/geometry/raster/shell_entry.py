"""Where the rays of a picture come near a surface, by drawing what encloses it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.launch import as_array
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.visibility import project_vertices, scan_faces

MAX_MITER = 2.0
"""Lengths of an offset by which a corner is moved at most, so that the faces round it are moved by one."""

MARGIN = 5e-4
"""Metres before the drawn surface from which on rays are followed: what a rounded edge may stand out."""


class ShellEntry(NamedTuple):
    """Where the rays of a picture come near a surface."""

    depth: Float[Tensor, "H W"]
    """Along the unit ray, metres, infinite where it passes by."""
    face: Int[Tensor, "H W"]
    """The face to which it comes near; -1 where it passes by."""


@torch.no_grad()
def shell_entry(
    surfaces: Surfaces,
    offset: Float[Tensor, " V"],
    origins: Float[Tensor, "H W 3"],
    directions: Float[Tensor, "H W 3"],
    *,
    surface: int = 0,
) -> ShellEntry | None:
    """Depths along the rays of a picture before which nothing is as near to the surface as an offset.

    Drawn is the surface with its vertices moved outward, in corners by more, so that each face lies at least as far out
    as its vertices' offsets.

    Args:
        surfaces: The surface; vertices in metres.
        offset: How near to each vertex counts, metres.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, hence affine in column and row.
        surface: Which of the surfaces.

    Returns:
        Depths and faces; None where the surface cannot be drawn: on CUDA, by a camera
        that is not a pinhole, or that is about as near to it.
    """
    if directions.is_cuda or not torch.equal(origins[0, 0], origins[-1, -1]):
        return None
    vertices, faces = surfaces.vertices[surface].float(), surfaces.faces
    camera = origins[:1, 0].float()
    reach = MAX_MITER * float(offset.max()) + 2 * MARGIN
    chosen = torch.full((1,), surface, dtype=torch.int64)
    if int(surfaces.closest(camera, chosen, max_distance=reach).face) >= 0:
        return None
    corners = vertices[faces]
    face_normals = F.normalize(torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=-1)
    each = face_normals.repeat_interleave(3, dim=0)
    index = faces.flatten()
    normals = F.normalize(torch.zeros_like(vertices).index_add(0, index, each), dim=-1)
    cosine = torch.ones(len(vertices)).index_reduce(0, index, (normals[index] * each).sum(-1), "amin")
    outer = vertices + (offset / cosine.clamp(min=1 / MAX_MITER))[:, None] * normals
    try:
        pixels, rows = project_vertices(as_array(outer[None].contiguous(), wp.vec3), 0, origins, directions)
    except ValueError:
        return None
    if pixels is None or rows is None:
        return None
    raster = scan_faces(surfaces.arrays[1], pixels, rows, directions)
    return ShellEntry(raster.ray_depth - MARGIN, raster.face)
