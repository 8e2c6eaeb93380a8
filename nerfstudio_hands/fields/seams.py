"""Seams of a texture atlas: edges of a surface whose two faces lie apart in (u, v)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
    ends = torch.stack([faces, faces.roll(-1, dims=1)], dim=-1).reshape(-1, 2)  # [3 F, 2], three edges a face
    corner = torch.tensor([[0, 1], [1, 2], [2, 0]], device=faces.device).repeat(len(faces), 1)
    face = torch.arange(len(faces), device=faces.device).repeat_interleave(3)
    turned = ends[:, 0] > ends[:, 1]
    corner = torch.where(turned[:, None], corner.flip(1), corner)
    _, edge, count = ends.sort(dim=1).values.unique(dim=0, return_inverse=True, return_counts=True)
    sides = torch.nonzero(count[edge] == 2)[:, 0]
    sides = sides[edge[sides].argsort(stable=True)].view(-1, 2)
    face, corner = face[sides], corner[sides]
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
