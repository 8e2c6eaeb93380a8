"""What of a trained model goes into files: its colours, whether light is in them, and its rigs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nerfstudio_hands.export.albedo_color import albedo_color_fn
from nerfstudio_hands.export.avatar import VisiblePart, rigs, visible_part
from nerfstudio_hands.export.bake import ColorFn
from nerfstudio_hands.export.level_set import level_color_fn, level_part, level_rigs
from nerfstudio_hands.export.normal_map import AtlasSurface, bake_normal_map
from nerfstudio_hands.export.rigged_glb import Rig
from nerfstudio_hands.export.surface_color import surface_color_fn
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.hand_model.model import shaped_template
from nerfstudio_hands.models.hand_mesh import HandMeshModel
from nerfstudio_hands.models.hand_sdf import HandSDFModel
from nerfstudio_hands.models.posed_hand_model import PosedHandModel


@dataclass
class Appearance:
    """How a model looks in files.

    Attributes:
        color_fn: Colours of points of its surface, in a pose.
        lit: Whether they are an albedo, which a viewer lights.
        part: Its surface in a pose without batch axes, as a mesh in the frame of the pose.
        rigs: From which hands are wanted and the size of a texture: those hands as rigs, and a normal map for them.
    """

    color_fn: ColorFn
    lit: bool
    part: Callable[[HandPose], VisiblePart]
    rigs: Callable[[list[bool], int], tuple[list[Rig], UInt8[np.ndarray, "S S 3"] | None]]


def appearance_of(
    model: PosedHandModel, pose: HandPose, stands: HandPose, *, voxel: float, level: float = 0.0
) -> Appearance:
    """Appearance of a trained model.

    Args:
        model: A radiance field, a signed distance or a mesh.
        pose: Poses of its hands [1, H, ...] in the capture's world, in which a field is asked for colours.
        stands: Pose [H, ...] of the meshes whose colours will be asked for.
        voxel: Edge of the voxels in which the surface of a signed distance is meshed, metres.
        level: Signed distance at which that surface is taken to be, metres.
    """
    part = partial(_posed_part, model)
    if isinstance(model, HandSDFModel):
        color, part = level_color_fn(model, pose, stands), partial(level_part, model, voxel=voxel, level=level)
        return Appearance(color, lit=False, part=part, rigs=partial(_level_rigs, model, voxel, level))
    if not isinstance(model, HandMeshModel):
        return Appearance(surface_color_fn(model, pose), lit=False, part=part, rigs=partial(_plain_rigs, model))
    model.displace()
    color = albedo_color_fn(model.albedo.picture(), model.face_uv, linear=True)
    return Appearance(color, lit=True, part=part, rigs=partial(_detailed_rigs, model))


def _posed_part(model: PosedHandModel, pose: HandPose) -> VisiblePart:
    hands = model.hands
    return visible_part(hands.surface, pose, hands.shape, hands.zero_pose_offset)


def _level_rigs(
    model: HandSDFModel, voxel: float, level: float, valid: list[bool], texture_size: int
) -> tuple[list[Rig], None]:
    return level_rigs(model, valid, voxel=voxel, level=level), None


def _plain_rigs(model: PosedHandModel, valid: list[bool], texture_size: int) -> tuple[list[Rig], None]:
    hands = model.hands
    return rigs(hands.surface, valid, hands.shape, hands.zero_pose_offset), None


def _detailed_rigs(
    model: HandMeshModel, valid: list[bool], texture_size: int
) -> tuple[list[Rig], UInt8[np.ndarray, "S S 3"]]:
    """The hand model's own vertices as rigs, and all others as a normal map."""
    hands = model.hands
    fine, coarse = hands.surface, hands.model_surface
    offset = hands.model_offset

    def at_rest(surface: HandSurface, moved: Float[Tensor, "V 3"]) -> AtlasSurface:
        rest = torch.cat([shaped_template(hand, hands.shape[None])[0] for hand in surface.hands])
        return AtlasSurface(rest + moved, surface.faces, surface.uv)

    normals = bake_normal_map(at_rest(coarse, offset), at_rest(fine, hands.zero_pose_offset), texture_size)
    return rigs(coarse, valid, hands.shape, offset), normals.cpu().numpy()
