"""What is done to meshes last, once they have their colours: wrists are closed, and hands are put upright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.export.rigged_glb import Rig
from nerfstudio_hands.export.textured_mesh import TexturedMesh
from nerfstudio_hands.geometry.topology import closing_faces

Z_UP_TO_Y_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""Turns nerfstudio's axes, z up, into those of glTF (specification 2.0.1, section 3.4): y up."""


def upright_transform(world_transform: Float[Tensor, "3 4"]) -> Float[np.ndarray, "3 4"]:
    """From the capture's world to one in which the hands stand upright at the origin, y up, metres.

    Args:
        world_transform: Capture's world to nerfstudio's, whose z is the cameras' mean up direction.
    """
    return np.array(Z_UP_TO_Y_UP) @ world_transform.double().cpu().numpy()


def transformed(mesh: TexturedMesh, transform: Float[np.ndarray, "3 4"]) -> TexturedMesh:
    """A mesh in another frame; the transform is rigid."""
    rotation, shift = transform[:, :3], transform[:, 3]
    return replace(mesh, vertices=mesh.vertices @ rotation.T + shift, normals=mesh.normals @ rotation.T)


def close_mesh(mesh: TexturedMesh) -> TexturedMesh:
    """A mesh without open edges: each hole, a hand's wrist, is covered by triangles of one texel's colour."""
    faces, uv = _closed(mesh.faces, mesh.uv)
    return replace(mesh, faces=faces, uv=uv)


def close_rig(rig: Rig) -> Rig:
    """A rig whose wrist is closed likewise; the skin weights of the boundary carry the cover."""
    faces, uv = _closed(rig.faces, rig.uv)
    return replace(rig, faces=faces, uv=uv)


def _closed(
    faces: Int[np.ndarray, "F 3"], uv: Float[np.ndarray, "F 3 2"]
) -> tuple[Int[np.ndarray, "G 3"], Float[np.ndarray, "G 3 2"]]:
    covers = closing_faces(torch.from_numpy(faces)).numpy()
    texel = np.zeros((int(faces.max(initial=-1)) + 1, 2), dtype=uv.dtype)
    texel[faces.reshape(-1)] = uv.reshape(-1, 2)
    # The texture has nothing to show there, and a triangle across it would show whatever else lies between.
    flat = np.repeat(texel[covers[:, :1]], 3, axis=1)
    return np.concatenate([faces, covers]), np.concatenate([uv, flat])
