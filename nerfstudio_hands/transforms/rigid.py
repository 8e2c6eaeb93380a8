"""Rigid transforms as matrices of three rows, or four."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)


def apply_rigid(transform: Float[Array, "R 4"], points: Float[Array, "*N 3"]) -> Float[Array, "*N 3"]:
    """Points carried by a rigid transform of three or four rows; torch tensors or numpy arrays."""
    return points @ transform[:3, :3].T + transform[:3, 3]  # pyright: ignore[reportReturnType]


def undo_rigid(transform: Float[Tensor, "R 4"], points: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3"]:
    """Points carried back: the inverse of :func:`apply_rigid`."""
    return (points - transform[:3, 3]) @ transform[:3, :3]
