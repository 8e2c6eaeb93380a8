"""Where the silhouette of a surface passes between two rays."""

from __future__ import annotations

import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.silhouette import silhouette_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.query.structure import SearchStructure


def find_silhouette(
    structure: SearchStructure,
    origins: Float[Tensor, "N 3"],
    starts: Float[Tensor, "N 3"],
    ends: Float[Tensor, "N 3"],
    face: Int[Tensor, " N"],
    end_is_empty: Bool[Tensor, " N"],
    surface: int,
) -> Int[Tensor, "N 2"]:
    """See :meth:`Surfaces.cross_silhouette`."""
    # The kernel reads memory at these indices, so a wrong one must not reach it; a GPU would have to be waited for to
    # find one out.
    if not 0 <= surface < structure.num_surfaces:
        raise ValueError(f"expected a surface in [0, {structure.num_surfaces}), found {surface}")
    if face.is_cuda:
        face = face.clamp(0, structure.num_faces - 1)
    elif len(face) and not (0 <= int(face.min()) and int(face.max()) < structure.num_faces):
        raise ValueError(f"expected faces in [0, {structure.num_faces}), found {int(face.min())} to {int(face.max())}")
    pairs = torch.empty(len(origins), 2, dtype=torch.int64, device=origins.device)
    launch(
        silhouette_kernel,
        len(origins),
        [
            structure.arrays,
            structure.neighbors,
            surface,
            *(as_array(contiguous_float32(rays), wp.vec3) for rays in (origins, starts, ends)),
            as_array(face.contiguous(), wp.int64),
            as_array(end_is_empty.contiguous(), wp.bool),
            as_array(pairs, wp.int64),
        ],
        chunk=512,
    )
    return pairs
