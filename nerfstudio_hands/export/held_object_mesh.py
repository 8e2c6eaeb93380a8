"""The surface of a held object, where its signed distance is zero, as a mesh."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.geometry.isosurface import extract_isosurface
from nerfstudio_hands.model_components.export_source import HeldObjectSource
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.transforms.rigid import apply_rigid, undo_rigid

POINTS_AT_ONCE = 1 << 16
"""Vertices whose colour is asked for at once."""


def held_object_mesh(
    held: HeldObjectSource, posed: PosedSurfaces, world_transform: Float[Tensor, "3 4"], *, voxel: float
) -> trimesh.Trimesh:
    """The object where it is beside one pose of the hands: a closed mesh with colours at its vertices.

    Of several closed surfaces the largest is taken: what lies apart from it was seen by no camera.

    Args:
        held: The object.
        posed: One posed surface of the hands.
        world_transform: Capture's world to nerfstudio's.
        voxel: Edge of the voxels, metres.

    Returns:
        Capture's world, metres.

    Raises:
        HandsError: The surface is nowhere, or the voxels are too small for the memory.
    """
    pose = held.poses(posed)[0]

    def to_world(place: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        return apply_rigid(pose[:3], place)

    def distance(place: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        return held.distance(to_world(place), posed)

    corner = torch.full((3,), held.radius + 2 * voxel, device=pose.device)
    found = extract_isosurface(distance, -corner, corner, voxel=voxel)
    parts = trimesh.Trimesh(found.vertices, found.faces, process=False).split(only_watertight=False)
    mesh = max(parts, key=lambda part: part.volume)
    world = to_world(torch.from_numpy(mesh.vertices).to(pose))
    colors = [held.colors(part, posed) for part in world.split(POINTS_AT_ONCE)]
    return trimesh.Trimesh(
        undo_rigid(world_transform, world).cpu().numpy(),
        mesh.faces,
        vertex_colors=np.round(torch.cat(colors).cpu().numpy() * 255).astype(np.uint8),
        process=False,
    )
