"""Values of a surface at what the pixels see."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.raster.visibility import Raster


def interpolate(values: Float[Tensor, "V C"], raster: Raster, faces: Int[Tensor, "F 3"]) -> Float[Tensor, "H W C"]:
    """Values of the vertices at what each pixel sees.

    Args:
        values: A row per vertex.
        raster: What is seen.
        faces: Vertex indices; a face beyond these, such as a closing one, counts as missed.

    Returns:
        The values, zero where the ray misses; differentiable in values and barycentric coordinates.
    """
    height, width = raster.face.shape
    face = raster.face.view(-1)
    hit = torch.nonzero((face >= 0) & (face < len(faces)))[:, 0]
    corners = values.index_select(0, faces[face[hit]].view(-1)).view(-1, 3, values.shape[1])
    seen = blend_corners(corners, raster.barycentric.view(-1, 3).index_select(0, hit))
    return seen.new_zeros(height * width, seen.shape[1]).index_copy(0, hit, seen).view(height, width, -1)
