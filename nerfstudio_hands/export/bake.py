"""Bakes what a field knows of a surface into a texture, or into colours per vertex."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nerfstudio_hands.fields.texture_size import check_texture_size
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.model_components.export_source import ColorFn
from nerfstudio_hands.program.progress import track

PADDING = 8
"""Texels by which each island is continued: filtering blends in nothing else down to the third level of a mipmap."""
CHUNK = 1 << 16
"""Points whose colour is asked for at once."""


def bake_texture(
    faces: Int[Tensor, "F 3"],
    uv: Float[Tensor, "F 3 2"],
    vertices: Float[Tensor, "V 3"],
    color_fn: ColorFn,
    size: int,
) -> UInt8[Tensor, "size size 3"]:
    """Evaluates a colour at the surface point of every texel.

    A texel outside all islands but within `PADDING` texels of one takes the colour of the nearest point of that island;
    the rest takes the mean colour.

    Args:
        faces: Triangles.
        uv: Texture coordinates in [0, 1] of each corner, v upwards: the first row of the texture is v = 1.
        vertices: Posed vertices, in the frame in which `color_fn` expects points.
        color_fn: The colour of surface points.
        size: Texels along each side, a power of two.

    Raises:
        HandsError: The size is no power of two from 16 to 8192.
    """
    check_texture_size(size)
    face, barycentric = surface_points_of_texels(uv, size)
    known = face >= 0
    colors = _colors(faces, vertices, color_fn, face[known], barycentric[known])
    texture = colors.mean(dim=0).expand(size, size, 3).clone()
    texture[known] = colors
    return to_bytes(texture)


def bake_vertices(faces: Int[Tensor, "F 3"], vertices: Float[Tensor, "V 3"], color_fn: ColorFn) -> UInt8[Tensor, "V 3"]:
    """Evaluates a colour at every vertex, seen from one of its faces. Every vertex must belong to a face."""
    corner = torch.empty(len(vertices), dtype=torch.long, device=faces.device)
    corner[faces.flatten()] = torch.arange(faces.numel(), device=faces.device)
    one_hot = torch.nn.functional.one_hot(corner % 3, 3).to(vertices.dtype)
    return to_bytes(_colors(faces, vertices, color_fn, corner // 3, one_hot))


def surface_points_of_texels(
    uv: Float[Tensor, "F 3 2"], size: int, padding: float = PADDING
) -> tuple[Int[Tensor, "size size"], Float[Tensor, "size size 3"]]:
    """Which point of the surface each texel shows: its face (-1 for none) and barycentric coordinates there.

    The islands are laid flat in the plane z = 0 and the nearest point of them is asked for, in units of texels: it is
    the texel's own center inside an island and the nearest point of its edge outside.
    """
    islands = islands_of_texture(uv, size)
    centers = torch.arange(size, device=uv.device) + 0.5
    row, column = torch.meshgrid(size - centers, centers, indexing="ij")
    texels = torch.stack([column, row, torch.zeros_like(row)], dim=-1).reshape(-1, 3)
    nearest = islands.closest(texels, max_distance=padding)
    return nearest.face.reshape(size, size), nearest.barycentric.reshape(size, size, 3)


def islands_of_texture(uv: Float[Tensor, "F 3 2"], size: int) -> Surfaces:
    """The faces of a texture laid flat in the plane z = 0, in units of texels, v upwards."""
    flat = torch.nn.functional.pad(uv.reshape(-1, 2) * size, (0, 1)).float()
    return Surfaces(torch.arange(len(flat), device=uv.device).reshape(-1, 3), flat[None])


def to_bytes(colors: Float[Tensor, "*N 3"]) -> UInt8[Tensor, "*N 3"]:
    """Colours from [0, 1] to 0 to 255, rounded."""
    return (colors.clamp(0, 1) * 255).round().to(torch.uint8)


@torch.no_grad()
def _colors(
    faces: Int[Tensor, "F 3"],
    vertices: Float[Tensor, "V 3"],
    color_fn: ColorFn,
    face: Int[Tensor, " N"],
    barycentric: Float[Tensor, "N 3"],
) -> Float[Tensor, "N 3"]:
    normals = vertex_normals(vertices, faces)
    colors = []
    starts = range(0, len(face), CHUNK)
    for start in starts if len(starts) < 2 else track(starts, "Baking the texture"):
        part = slice(start, start + CHUNK)
        weights, corners = barycentric[part, :, None].to(vertices.dtype), faces[face[part]]
        points = (weights * vertices[corners]).sum(dim=1)
        outward = torch.nn.functional.normalize((weights * normals[corners]).sum(dim=1), dim=-1)
        colors.append(color_fn(points, face[part], barycentric[part], outward))
    return torch.cat(colors)
