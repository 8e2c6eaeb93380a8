"""The rotation that best explains how points lie before and after."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def nearest_rotation(covariance: Float[Tensor, "*B 3 3"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation R that lays centred points s on centred points t best, in the sense of least squares.

    Args:
        covariance: Sum of w t s^T over the points, each with its weight w.

    Returns:
        Proper rotations (Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976).
    """
    u, _, v = torch.linalg.svd(covariance)
    u = torch.cat([u[..., :2], u[..., 2:] * torch.det(u @ v)[..., None, None]], -1)
    return u @ v
