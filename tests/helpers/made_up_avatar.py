"""Hands whose poses are known, as a data parser gives them, for tests of whatever takes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.hand_model import HandPose, HandSurface


def made_up_avatar(
    surface: HandSurface,
    pose: HandPose,
    *,
    frame_names: Sequence[str],
    camera_names: Sequence[str],
    world_transform: Float[Tensor, "3 4"] | None = None,
    train_frames: Bool[Tensor, "T"] | None = None,
) -> AvatarData:
    """Hands of the mean shape in some poses; by default the world is the capture's, and all frames train."""
    no_displacement = torch.zeros(surface.num_vertices, 3)
    return AvatarData(
        surface=surface,
        pose=pose,
        shape=torch.zeros(surface.hands[0].num_shape),
        displacement=no_displacement,
        all_hands=surface,
        all_pose=pose,
        all_displacement=no_displacement,
        world_transform=torch.eye(3, 4) if world_transform is None else world_transform,
        frame_names=list(frame_names),
        camera_names=list(camera_names),
        train_frames=torch.ones(len(frame_names), dtype=torch.bool) if train_frames is None else train_frames,
    )
