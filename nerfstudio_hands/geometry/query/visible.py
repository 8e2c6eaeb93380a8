"""Which light from far away reaches vertices of surfaces that are in its way themselves."""

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.visible import visible_cosine_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.query.structure import SearchStructure

RAYS_AT_ONCE = 2**14


def find_visible_cosines(
    structure: SearchStructure,
    vertices: Int[Tensor, " W"],
    normals: Float[Tensor, "S W 3"],
    directions: Float[Tensor, "D 3"],
    lift: float,
    reach: float,
    blocked: bool,
) -> Float[Tensor, "S W D"]:
    """See :meth:`Surfaces.visible_cosines`."""
    found = torch.empty(*normals.shape[:2], len(directions), dtype=torch.float32, device=normals.device)
    given = [
        structure.hierarchies,
        as_array(vertices.contiguous(), wp.int64),
        as_array(contiguous_float32(normals), wp.vec3),
        as_array(contiguous_float32(directions), wp.vec3),
        lift,
        reach,
        blocked,
    ]
    launch(visible_cosine_kernel, found.numel(), [*given, as_array(found, wp.float32)], chunk=RAYS_AT_ONCE)
    return found
