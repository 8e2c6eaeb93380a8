"""Hands that move as a sequence of mesh files, one a frame, which share one texture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from nerfstudio_hands.export.avatar import VisiblePart
from nerfstudio_hands.export.textured_mesh import TexturedMesh, material_files, obj_bytes, ply_bytes
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.program.progress import track

MATERIAL = "hands"
"""Name of the material and the texture that all frames of an OBJ sequence share."""


def mesh_sequence(
    frames: Iterable[VisiblePart],
    texture: UInt8[np.ndarray, "S S 3"],
    *,
    num_frames: int,
    format: Literal["obj", "ply"] = "obj",
    lit: bool = False,
    finish: Callable[[TexturedMesh], TexturedMesh] = lambda mesh: mesh,
) -> Iterator[tuple[str, bytes]]:
    """Files of a sequence, one after the other, with progress: `frame_0000.obj` and so on, or `.ply`.

    OBJ comes with one `hands.mtl` and `hands.png`, first of all; PLY has the texture's colours at the vertices.

    Args:
        frames: The posed hands, see `avatar.visible_part`; made one by one, they need the memory of one. A frame
            without a hand has no file, and its number is left out.
        texture: Colours, first row at v = 1.
        num_frames: How many there are, for the progress and the width of the numbers.
        format: Kind of file.
        lit: The texture is an albedo, to be lit.
        finish: What is done to each mesh before it is written, see `finishing`.
    """
    if format == "obj":
        yield from material_files(texture, MATERIAL, lit=lit).items()
    digits = max(4, len(str(num_frames - 1)))
    for number, part in enumerate(track(frames, "Writing the frames", total=num_frames)):
        if len(part.faces) == 0:
            continue
        mesh = finish(_as_mesh(part, texture))
        content = obj_bytes(mesh, MATERIAL) if format == "obj" else ply_bytes(mesh)
        yield f"frame_{number:0{digits}}.{format}", content


def rest_pose(surface: HandSurface) -> HandPose:
    """The hands unturned, flat and side by side: what a rig is bound to and others call T-pose."""
    pose = HandPose.rest(surface.num_hands, device=surface.device, dtype=surface.canonical.dtype)
    canonical = surface.split_vertices(surface.canonical)
    offsets = [(vertices - hand.template).mean(dim=0) for vertices, hand in zip(canonical, surface.hands, strict=True)]
    pose.translation = torch.stack(offsets)
    return pose


def colors_at_vertices(
    texture: UInt8[np.ndarray, "S S 3"],
    faces: Int[np.ndarray, "F 3"],
    uv: Float[np.ndarray, "F 3 2"],
    num_vertices: int,
) -> UInt8[np.ndarray, "V 3"]:
    """The texel at each vertex, seen from one of its faces. Every vertex must belong to a face."""
    vertex_uv = np.zeros((num_vertices, 2))
    vertex_uv[faces.reshape(-1)] = uv.reshape(-1, 2)
    size = len(texture)
    column, row = (np.column_stack([vertex_uv[:, 0], 1 - vertex_uv[:, 1]]) * size).astype(int).clip(0, size - 1).T
    return texture[row, column]


def _as_mesh(part: VisiblePart, texture: UInt8[np.ndarray, "S S 3"]) -> TexturedMesh:
    vertices, faces, uv, normals = (
        tensor.detach().cpu().numpy()
        for tensor in (part.vertices, part.faces, part.uv, vertex_normals(part.vertices, part.faces))
    )
    return TexturedMesh(vertices, faces, normals, uv, texture, colors_at_vertices(texture, faces, uv, len(vertices)))
