"""The colour that a trained avatar shows at points of its surface."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.export.bake import ColorFn
from nerfstudio_hands.fields.hand_field import SurfacePoints
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
    code = model.hands.code(pose)
    turn = model.hands.world_transform[:, :3]

    @torch.no_grad()
    def color(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        outward = normal @ turn.T
        codes = code.expand(len(points), -1)
        height = torch.zeros(len(points), device=points.device)
        for _ in range(LEVEL_STEPS):
            seen = model.field(SurfacePoints(face, barycentric, height, outward), -outward, codes)
            height = -seen.shift
        seen = model.field(SurfacePoints(face, barycentric, height, outward), -outward, codes)
        opaque = torch.ones_like(height)[:, None]
        return model.camera_response(seen.diffuse, opaque, None).clamp(0, 1)

    return color
