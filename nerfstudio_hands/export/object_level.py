"""The zero level of a held object's signed distance as a mesh."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import apply_rigid, undo_rigid
from nerfstudio_hands.export.narrow_band import zero_level
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.models.hand_sdf import POINTS_AT_ONCE, HandSDFModel


def object_level(model: HandSDFModel, posed: PosedSurfaces, *, voxel: float) -> trimesh.Trimesh:
    """The object where it is beside one pose of the hands: a closed mesh with colours at its vertices.

    Of several closed surfaces the largest is taken: what lies apart from it was seen by no camera.

    Args:
        model: The avatar, with an object.
        posed: One posed surface of its hands.
        voxel: Edge of the voxels, metres.

    Returns:
        Capture's world, metres.

    Raises:
        HandsError: The surface is nowhere, or the voxels are too small for the memory.
    """
    held, device = model.held, posed.bones.device
    pose = held.poses(posed)[0]
    zero = torch.zeros(1, dtype=torch.long, device=device)

    def to_world(place: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        return apply_rigid(pose[:3], place)

    def distance(place: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        return model.object_distances(to_world(place), zero.expand(len(place)), posed)[0]

    corner = torch.full((3,), held.field.radius + 2 * voxel, device=device)
    found = zero_level(distance, -corner, corner, voxel=voxel)
    parts = trimesh.Trimesh(found.vertices, found.faces, process=False).split(only_watertight=False)
    mesh = max(parts, key=lambda part: part.volume)
    world = to_world(torch.from_numpy(mesh.vertices).to(pose))
    colors = [_colors(model, part, zero.expand(len(part)), posed) for part in world.split(POINTS_AT_ONCE)]
    return trimesh.Trimesh(
        undo_rigid(model.hands.world_transform, world).cpu().numpy(),
        mesh.faces,
        vertex_colors=np.round(torch.cat(colors).cpu().numpy() * 255).astype(np.uint8),
        process=False,
    )


def _colors(
    model: HandSDFModel, points: Float[Tensor, "N 3"], surface: Tensor, posed: PosedSurfaces
) -> Float[Tensor, "N 3"]:
    """Colours without the view-dependent part, with the mean exposure of the training cameras."""
    there = model.held.points(points, surface, posed, kinematic=model.config.space == "posed")
    slope, features = model.held.field.sloped(there, create_graph=False)
    normal = F.normalize(slope, dim=-1)
    radiance = model.held.field.radiance(there, features, normal, -normal)
    return model.camera_response(radiance.diffuse, torch.ones_like(points[:, :1]), None).clamp(0, 1)
