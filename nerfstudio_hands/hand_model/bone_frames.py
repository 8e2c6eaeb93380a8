"""Frames of the bones of a posed hand."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def bone_frames(
    bone_transforms: Float[Tensor, "*B 16 4 4"], rest: Float[Tensor, "*H 16 3"]
) -> Float[Tensor, "*B 16 4 4"]:
    """Frames in the joints, with the axes of the rest pose, from transforms of the bones.

    Args:
        bone_transforms: From the rest pose to the world, as `PosedHand` has them.
        rest: Joints of the rest pose in MANO order, metres; one for all or one a hand.

    Returns:
        Transforms from each bone's frame to the world.
    """
    rotation, rows = bone_transforms[..., :3, :3], bone_transforms[..., 3:, :]
    origin = (rotation @ rest[..., None])[..., 0] + bone_transforms[..., :3, 3]
    return torch.cat([torch.cat([rotation, origin[..., None]], dim=-1), rows], dim=-2)
