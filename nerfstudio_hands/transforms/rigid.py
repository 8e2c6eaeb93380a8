"""Rigid transforms as matrices of three rows, or four."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def apply_rigid(transform: Float[Tensor, "R 4"], points: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3"]:
    """Points carried by a rigid transform of three or four rows."""
    return points @ transform[:3, :3].T + transform[:3, 3]


def undo_rigid(transform: Float[Tensor, "R 4"], points: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3"]:
    """Points carried back: the inverse of :func:`apply_rigid`."""
    return (points - transform[:3, 3]) @ transform[:3, :3]
