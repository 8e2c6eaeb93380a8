"""Seams of a texture atlas: edges of a surface whose two faces lie apart in (u, v)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.topology import Topology


def seam_edges(
    faces: Int[Tensor, "F 3"], face_uv: Float[Tensor, "F 3 2"]
) -> tuple[Int[Tensor, "E 2"], Int[Tensor, "E 2 2"]]:
    """Finds the edges that two faces share on the surface but not in the atlas.

    Args:
        faces: vertex indices of each face.
        face_uv: texture coordinates of each corner.

    Returns:
        The two faces of every seam edge, and the corners of each at the edge's two ends, the same end first.
    """
    topology = Topology(faces)
    face = topology.face_pairs
    ends = topology.edges[topology.num_edge_faces == 2]
    corner = (faces[face][:, :, None] == ends[:, None, :, None]).int().argmax(dim=-1)  # [E, side, end]
    uv = face_uv[face[..., None], corner]  # [E, side, end, 2]
    apart = ((uv[:, 0] - uv[:, 1]).abs() > 1e-5).flatten(1).any(dim=1)
    return face[apart], corner[apart]


def seam_uv(faces: Int[Tensor, "F 3"], face_uv: Float[Tensor, "F 3 2"]) -> Float[Tensor, "E 2 2 2"]:
    """Texture coordinates of the seams: of both sides of each, at both ends, the same end first."""
    face, corner = seam_edges(faces, face_uv)
    return face_uv[face[..., None], corner]


def seam_difference(
    seams: Float[Tensor, "E 2 2 2"], look_up: Callable[[Float[Tensor, "N 2"]], Float[Tensor, "N C"]]
) -> Float[Tensor, ""]:
    """Mean squared difference of what is looked up on both sides of a random point of every seam.

    Args:
        seams: At least one, see `seam_uv`.
        look_up: Values at texture coordinates.
    """
    along = torch.rand(len(seams), 1, 1, device=seams.device)
    points = torch.lerp(seams[:, :, 0], seams[:, :, 1], along)  # [E, side, 2]
    first, second = look_up(points.transpose(0, 1).reshape(-1, 2)).chunk(2)
    return (first - second).square().mean()
