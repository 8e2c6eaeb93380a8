"""Pinhole projection in OpenCV axes (x right, y down, z forward), for torch tensors; pixel centres lie at +0.5."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rodrigues' formula, smooth at zero.

    Args:
        axis_angle: Rotation axis times angle in radians.
    """
    squared = (axis_angle**2).sum(-1, keepdim=True).clamp_min(1e-16)
    angle = squared.sqrt()[..., None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + skew * (angle.sin() / angle) + skew @ skew * ((1 - angle.cos()) / angle**2)


def corrected_extrinsics(
    world_to_camera: Float[Tensor, "C 4 4"], rotation: Float[Tensor, "C 3"]
) -> Float[Tensor, "C 4 4"]:
    """Turns cameras about their own centres: `X_cam' = R(rotation) @ X_cam`.

    Args:
        world_to_camera: Extrinsics as calibrated.
        rotation: Axis-angle correction in each camera's axes, radians.
    """
    upper = rotation_matrix(rotation) @ world_to_camera[:, :3]
    return torch.cat([upper, world_to_camera[:, 3:]], 1)


def project(
    points: Float[Tensor, "*batch 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    world_to_camera: Float[Tensor, "*batch 4 4"],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Projects world points; batch dimensions broadcast.

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
    return homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(1e-3), camera[..., 2]
