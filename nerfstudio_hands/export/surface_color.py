"""The colour that a trained avatar shows at points of its surface."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import apply_rigid
from nerfstudio_hands.export.bake import ColorFn
from nerfstudio_hands.fields.hand_field import Geometry
from nerfstudio_hands.fields.surface_points import SurfacePoints
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.models.hand_avatar import HandAvatarModel

LEVEL_STEPS = 3
"""Steps of height = -shift(height) towards the learned surface; the shift varies little with the height: few do."""


def surface_color_fn(model: HandAvatarModel, pose: HandPose) -> ColorFn:
    """Colours of a pose: those of the learned surface above or below each point of the mesh, without reflections.

    The view-dependent part is left out, because a texture is looked at from everywhere; exposure is the mean of the
    training cameras.

    Args:
        model: The avatar.
        pose: Poses of its hands [1, H, ...] in the capture's world.
    """
    posed = model.hands.at_pose(pose)
    turn = model.hands.world_transform[:, :3]

    @torch.no_grad()
    def color(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        outward = normal @ turn.T
        codes = posed.code.expand(len(points), -1)
        surface = torch.zeros(len(points), dtype=torch.long, device=points.device)
        ground = apply_rigid(model.hands.world_transform, points)

        def look(height: Float[Tensor, "N"]) -> tuple[SurfacePoints, Geometry]:
            there = ground + outward * height[:, None] * model.config.shell
            places, _ = model.surface_points(there, surface, face, barycentric, height, posed)
            return replace(places, normal=outward), model.field.geometry(places, codes)

        height = torch.zeros(len(points), device=points.device)
        for _ in range(LEVEL_STEPS):
            height = -look(height)[1].shift
        diffuse = model.field.radiance(*look(height), -outward).diffuse
        return model.camera_response(diffuse, torch.ones_like(height)[:, None], None).clamp(0, 1)

    return color
