"""The detail of a fine surface as a normal map for a coarse one that shares its texture atlas."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from nerfstudio_hands.export.bake import bake_texture, islands_of_texture
from nerfstudio_hands.export.tangent_frames import vertex_tangents
from nerfstudio_hands.export.textured_mesh import split_at_seams
from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.mesh import vertex_normals

LOWEST = 1e-3
"""Cosine to which a fine normal that looks under the coarse surface is lifted: a map holds none below the horizon."""

MIDDLE = 0.5002
"""Colour of zero: a little more than the middle, which lies between the steps 127 and 128, where noise would decide."""


@dataclass
class AtlasSurface:
    """A surface at rest with its place in the texture.

    Attributes:
        vertices: Metres.
        faces: Triangles, counter-clockwise seen from outside.
        uv: Texture coordinates of their corners in [0, 1], v upwards.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    uv: Float[Tensor, "F 3 2"]


def bake_normal_map(coarse: AtlasSurface, fine: AtlasSurface, size: int) -> UInt8[Tensor, "size size 3"]:
    """Normals of a fine surface in the tangent frames of a coarse one, at every texel.

    The fine point of a texel is the one with the same texture coordinates, so nothing is cast or searched in space.
    A colour `2 c / 255 - 1 = (x, y, z)` stands for `x tangent + y bitangent + z normal`, each interpolated over the
    coarse face and of unit length, as in glTF: x to the right in the texture, y up (OpenGL). It is padded as
    `bake_texture` does.

    Args:
        coarse: The mesh that will carry the map; its frames are those that `rigged_glb` writes for it, which has the
            same vertices.
        fine: The mesh with the detail, in the same rest pose, of the same parametrisation (a subdivision, say).
        size: Texels along each side, a power of two.

    Raises:
        HandsError: The size is no power of two from 16 to 8192.
    """
    corner_tangents = _corner_tangents(coarse).to(coarse.vertices)
    fine_normals = vertex_normals(fine.vertices, fine.faces)
    islands = islands_of_texture(fine.uv, size)

    def encoded_normal(points: Tensor, face: Tensor, barycentric: Tensor, normal: Tensor) -> Tensor:
        place = blend_corners(coarse.uv[face], barycentric)
        there = islands.closest(torch.nn.functional.pad(place * size, (0, 1)), max_distance=size)
        wanted = normalize(blend_corners(fine_normals[fine.faces[there.face]], there.barycentric), dim=-1)
        tangent = normalize(blend_corners(corner_tangents[face, :, :3], barycentric), dim=-1)
        bitangent = normalize(torch.linalg.cross(normal, tangent), dim=-1) * corner_tangents[face, 0, 3:]
        frame = torch.stack([tangent, bitangent, normal], dim=-1)
        local = torch.linalg.solve(frame, wanted)
        local = torch.cat([local[:, :2], local[:, 2:].clamp(min=LOWEST)], dim=-1)
        return normalize(local, dim=-1) / 2 + MIDDLE

    return bake_texture(coarse.faces, coarse.uv, coarse.vertices, encoded_normal, size)


def _corner_tangents(surface: AtlasSurface) -> Float[Tensor, "F 3 4"]:
    normals = vertex_normals(surface.vertices, surface.faces)
    split = split_at_seams(surface.faces.cpu().numpy(), surface.uv.cpu().numpy())
    tangents = vertex_tangents(surface.vertices.detach().cpu().numpy(), normals.detach().cpu().numpy(), split)
    return torch.from_numpy(tangents[split.faces])
