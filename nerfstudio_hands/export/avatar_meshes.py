"""What of a trained model goes into files: meshes of its poses, their colours, and its rigs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nerfstudio_hands.export.avatar import VisiblePart, rigs, visible_part
from nerfstudio_hands.export.isosurface import carried_colors, isosurface_part, isosurface_rigs
from nerfstudio_hands.export.normal_map import AtlasSurface, bake_normal_map
from nerfstudio_hands.export.rigged_glb import Rig
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.hand_model.model import shaped_template
from nerfstudio_hands.model_components.export_source import ColorFn, DistanceSource, ExportSource
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.transforms.rigid import apply_rigid

NormalMap = UInt8[np.ndarray, "S S 3"]


@dataclass
class AvatarMeshes:
    """How a model looks in files.

    Attributes:
        color_fn: Colours of points of its surface, capture's world.
        part: Its surface in a pose without batch axes, as a mesh in the frame of the pose.
        rigs: From which hands are wanted and the size of a texture: those hands as rigs, and a normal map for them.
    """

    color_fn: ColorFn
    part: Callable[[HandPose], VisiblePart]
    rigs: Callable[[list[bool], int], tuple[list[Rig], NormalMap | None]]


def avatar_meshes(
    source: ExportSource, texture_pose: HandPose, query_pose: HandPose, *, voxel: float, level: float = 0.0
) -> AvatarMeshes:
    """Meshes and colours of a trained model.

    Args:
        source: What the model has for files.
        texture_pose: Poses of its hands [1, H, ...] in the capture's world, in which it is asked for colours.
        query_pose: Pose [H, ...] of the meshes whose colours will be asked for.
        voxel: Edge of the voxels in which an isosurface is meshed, metres.
        level: Signed distance of that isosurface, metres.
    """
    hands, distance, colors = source.hands, source.distance, source.colors(texture_pose)
    if distance is not None:
        return AvatarMeshes(
            _of_capture(hands, carried_colors(hands, distance.skinning, colors, query_pose, texture_pose)),
            part=partial(isosurface_part, hands, distance, voxel=voxel, level=level),
            rigs=partial(_isosurface_rigs, hands, distance, voxel, level),
        )
    as_rigs = partial(_plain_rigs, hands) if source.detailed is None else partial(_detailed_rigs, source.detailed)
    return AvatarMeshes(_of_capture(hands, colors), part=partial(_posed_part, hands), rigs=as_rigs)


def _of_capture(hands: PosedHands, colors: ColorFn) -> ColorFn:
    """Colours of points in the capture's world, from those of points in nerfstudio's."""
    transform = hands.world_transform

    def of_capture(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        return colors(apply_rigid(transform, points), face, barycentric, normal @ transform[:, :3].T)

    return of_capture


def _posed_part(hands: PosedHands, pose: HandPose) -> VisiblePart:
    return visible_part(hands.surface, pose, hands.shape, hands.rest_offset)


def _isosurface_rigs(
    hands: PosedHands, source: DistanceSource, voxel: float, level: float, valid: list[bool], texture_size: int
) -> tuple[list[Rig], None]:
    return isosurface_rigs(hands, source, valid, voxel=voxel, level=level), None


def _plain_rigs(hands: PosedHands, valid: list[bool], texture_size: int) -> tuple[list[Rig], None]:
    return rigs(hands.surface, valid, hands.shape, hands.rest_offset), None


def _detailed_rigs(hands: PosedFineHands, valid: list[bool], texture_size: int) -> tuple[list[Rig], NormalMap]:
    """The hand model's own vertices as rigs, and all others as a normal map."""
    fine, coarse = hands.surface, hands.model_surface
    offset = hands.model_offset

    def at_rest(surface: HandSurface, moved: Float[Tensor, "V 3"]) -> AtlasSurface:
        rest = torch.cat([shaped_template(hand, hands.shape[None])[0] for hand in surface.hands])
        return AtlasSurface(rest + moved, surface.faces, surface.uv)

    normals = bake_normal_map(at_rest(coarse, offset), at_rest(fine, hands.rest_offset), texture_size)
    return rigs(coarse, valid, hands.shape, offset), normals.cpu().numpy()
