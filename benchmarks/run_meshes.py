"""The surfaces of a run, to be compared with a truth."""

from __future__ import annotations

import torch

from nerfstudio_hands.evaluation.mesh_metrics import Mesh
from nerfstudio_hands.export.held_object_mesh import held_object_mesh
from nerfstudio_hands.export.isosurface import isosurface_part
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands
from nerfstudio_hands.models.posed_hand_model import PosedHandModel

TEMPLATE, SUBDIVIDED, REFINED, ZERO_LEVEL = "fitted template", "the same, subdivided", "refined mesh", "zero level"


@torch.no_grad()
def hand_meshes(model: PosedHandModel, frame: int, *, voxel: float) -> dict[str, Mesh]:
    """The fitted template, subdivided too where the method does that, and what the method made of it, if it makes one.

    Args:
        model: Any of our models.
        frame: Frame of the capture.
        voxel: Edge of the voxels in which a zero level is meshed, metres.

    Returns:
        World of the capture, metres; forearms do not count.
    """
    source, hands = model.export_source(), model.hands
    pose = hands.pose_of(torch.tensor([frame]))[0]

    def posed(surface: HandSurface, displacement: torch.Tensor) -> Mesh:
        return Mesh(surface.pose(pose, hands.shape, displacement).vertices, surface.faces, surface.face_is_hand)

    if not isinstance(hands, PosedFineHands):
        return {TEMPLATE: posed(hands.surface, hands.displacement)}
    meshes = {
        TEMPLATE: posed(hands.model_surface, hands.carry.undo(hands.displacement[hands.model_vertices])),
        SUBDIVIDED: posed(hands.surface, hands.displacement),
    }
    if source.distance is not None:
        part = isosurface_part(hands, source.distance, pose, voxel=voxel)
        meshes[ZERO_LEVEL] = Mesh(part.vertices, part.faces, hands.surface.face_is_hand[part.face_ids])
    elif source.detailed is not None:
        meshes[REFINED] = posed(hands.surface, hands.rest_offset)
    return meshes


@torch.no_grad()
def object_mesh(model: PosedHandModel, frame: int, *, voxel: float) -> Mesh | None:
    """What the hand holds, if the method learns that; arguments as for :func:`hand_meshes`."""
    held, hands = model.export_source().held, model.hands
    if held is None:
        return None
    mesh = held_object_mesh(held, hands.at_frame(frame), hands.world_transform, voxel=voxel)
    return Mesh(torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces).long())
