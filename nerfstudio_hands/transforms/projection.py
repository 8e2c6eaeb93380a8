"""Pinhole cameras in OpenCV axes (x right, y down, z forward); pixel centers lie at +0.5."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def pixel_rays(
    intrinsics: Float[Tensor, "3 3"], world_to_camera: Float[Tensor, "4 4"], width: int, height: int
) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]]:
    """World rays through the pixel centers, which lie at +0.5.

    Args:
        intrinsics: Pinhole matrix in pixels.
        world_to_camera: Rigid transform, metres, to OpenCV axes (x right, y down, z forward).
        width: Pixels.
        height: Pixels.

    Returns:
        Origins, and directions of z-depth one (not of unit length).
    """
    options = {"dtype": world_to_camera.dtype, "device": world_to_camera.device}
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    across, down, corner = (rotation.T @ torch.linalg.inv(intrinsics.to(**options))).unbind(1)
    rows = corner + (torch.arange(height, **options) + 0.5)[:, None] * down
    directions = rows[:, None] + (torch.arange(width, **options) + 0.5)[:, None] * across
    return (-translation @ rotation).expand(height, width, 3), directions
