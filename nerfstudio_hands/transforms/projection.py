"""Pinhole cameras in OpenCV axes (x right, y down, z forward); pixel centers lie at +0.5."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.transforms.rotations import rotation_matrix

PIXEL_CENTER = 0.5
"""Our centre of the upper left pixel in x and y, as nerfstudio's. Of a data set whose tools take projected points for
indices into pictures (OpenCV's convention, the centre at 0) this is added to the principal point."""

MIN_DEPTH = 1e-3
"""Metres below which depths are clamped before the division."""

Array = TypeVar("Array", Tensor, np.ndarray)


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


def project(
    points: Float[Array, "*#batch 3"],
    intrinsics: Float[Array, "*#batch 3 3"],
    world_to_camera: Float[Array, "*#batch 4 4"],
) -> tuple[Float[Array, "*batch 2"], Float[Array, "*batch"]]:
    """Projects world points, torch tensors or numpy arrays; batch dimensions broadcast.

    Args:
        points: World frame, metres.
        intrinsics: K, pixels.
        world_to_camera: Extrinsics.

    Returns:
        Pixels (x, y) and z depth in metres. Depths below 1 mm are clamped for the division, so that a point behind a
        camera gives a finite, if meaningless, pixel: look at the depth.
    """
    camera = (world_to_camera[..., :3, :3] @ points[..., None])[..., 0] + world_to_camera[..., :3, 3]
    homogeneous = (intrinsics @ camera[..., None])[..., 0]
    return homogeneous[..., :2] / homogeneous[..., 2:].clip(min=MIN_DEPTH), camera[..., 2]


def corrected_extrinsics(
    world_to_camera: Float[Tensor, "C 4 4"], rotation: Float[Tensor, "C 3"]
) -> Float[Tensor, "C 4 4"]:
    """Turns cameras about their own centers: `X_cam' = R(rotation) @ X_cam`.

    Args:
        world_to_camera: Extrinsics as calibrated.
        rotation: Axis-angle correction in each camera's axes, radians.
    """
    upper = rotation_matrix(rotation) @ world_to_camera[:, :3]
    return torch.cat([upper, world_to_camera[:, 3:]], 1)


def zoomed_intrinsics(intrinsics: Float[Tensor, "*C 3 3"], zoom: Float[Tensor, "*C"]) -> Float[Tensor, "*C 3 3"]:
    """Changes focal lengths, with the principal points where they are.

    Args:
        intrinsics: K, pixels.
        zoom: Logarithm of the factor on the focal lengths.
    """
    factor = torch.ones_like(intrinsics)
    factor[..., :2, :2] = zoom.exp()[..., None, None]
    return intrinsics * factor


def ndc_projection(
    intrinsics: Float[np.ndarray, "*batch 3 3"], width: int, height: int
) -> Float[np.ndarray, "*batch 4 4"]:
    """K as 4x4 matrix for renderers that draw in normalized device coordinates, such as PyTorch3D.

    It takes points (x, y, z, 1) of a camera whose axes point left, up and forward, which are ours with x and y negated,
    to (x, y, 1 / z, 1) after the division by the last coordinate: x to the left and y up, both zero in the middle of
    the picture, and one at the border that its shorter side reaches.

    Args:
        intrinsics: Pinhole matrices, pixels; the picture's upper left corner is (0, 0).
        width: Of the picture, pixels.
        height: Likewise.
    """
    scale = 2 / min(width, height)
    projection = np.zeros((*intrinsics.shape[:-2], 4, 4))
    projection[..., :2, :2] = scale * intrinsics[..., :2, :2]
    projection[..., :2, 2] = -scale * (intrinsics[..., :2, 2] - np.array([width / 2, height / 2]))
    projection[..., 2, 3] = projection[..., 3, 2] = 1.0
    return projection
