"""Warps that carry a point near a posed surface to a space that does not move with the pose.

Each takes what the surface query found (face and barycentric coordinates of the nearest surface point) and
interpolates a quantity that is fixed to the surface. Gradients reach the points through the barycentric coordinates.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.barycentric import blend_corners


def uv_warp(
    face_uv: Float[Tensor, "F 3 2"], face: Int[Tensor, "N"], barycentric: Float[Tensor, "N 3"]
) -> Float[Tensor, "N 2"]:
    """Texture coordinates of the nearest surface points (after LiveHand's (u, v, h) space).

    Args:
        face_uv: texture coordinates of each corner of each face, in [0, 1].
        face: face of each surface point.
        barycentric: barycentric coordinates in it.
    """
    return blend_corners(face_uv[face], barycentric)


def surface_warp(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    face: Int[Tensor, "N"],
    barycentric: Float[Tensor, "N 3"],
) -> Float[Tensor, "N 3"]:
    """The nearest surface points' place on another pose of the surface, in that pose's frame, meters.

    With the rest pose this is a continuous alternative to texture coordinates: it has no seams.

    Args:
        vertices: vertices of the surface in the target pose; or any quantity a vertex, such as normals.
        faces: vertex indices of each face.
        face: face of each surface point.
        barycentric: barycentric coordinates in it.
    """
    return blend_corners(vertices[faces[face]], barycentric)
