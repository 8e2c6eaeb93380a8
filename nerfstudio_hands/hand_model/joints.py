"""Names, order and tree of the hand joints, and converters between the orders that data sets use.

The project keeps 21 joints in the order of MediaPipe and OpenPose: the wrist, then for thumb, index, middle, ring and
pinky the four joints from the palm outwards, the last being the fingertip.  MANO has 16 joints (no tips) in another
order; InterHand2.6M lists every finger from its tip inwards and puts the wrist last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

SIDES: tuple[str, str] = ("left", "right")
"""The two sides, in the order in which tables over sides are laid out everywhere."""

FINGERS: tuple[str, ...] = ("thumb", "index", "middle", "ring", "pinky")
"""Fingers in the order of the 21 joints."""

JOINT_NAMES: tuple[str, ...] = ("wrist",) + tuple(f"{finger}_{k}" for finger in FINGERS for k in (1, 2, 3, 4))
"""The 21 joints; ``_1`` is the joint nearest to the wrist (for the thumb its saddle joint), ``_4`` the tip."""

JOINT_PARENTS: tuple[int, ...] = (-1,) + tuple(0 if k == 0 else 4 * f + k for f in range(5) for k in range(4))
"""Parent of each of the 21 joints, -1 for the wrist."""

BONES: tuple[tuple[int, int], ...] = tuple((JOINT_PARENTS[joint], joint) for joint in range(1, 21))
"""The 20 bones, each from a joint's parent to the joint, in the order of the latter."""

MANO_FINGERS: tuple[str, ...] = ("index", "middle", "pinky", "ring", "thumb")
"""Fingers in the order of MANO's joints."""

MANO_JOINT_NAMES: tuple[str, ...] = ("wrist",) + tuple(f"{finger}_{k}" for finger in MANO_FINGERS for k in (1, 2, 3))
"""The 16 joints of MANO."""

MANO_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each of MANO's 16 joints, -1 for the wrist."""

TIP_JOINTS: tuple[int, ...] = (4, 8, 12, 16, 20)
"""The five fingertips within the 21 joints, in the order of ``FINGERS``."""

MANO_TO_JOINTS: tuple[int, ...] = tuple(JOINT_NAMES.index(name) for name in MANO_JOINT_NAMES)
"""For each of MANO's 16 joints its place among the 21."""

JOINTS_TO_MANO_WITH_TIPS: tuple[int, ...] = tuple(
    16 + FINGERS.index(name[:-2]) if name.endswith("_4") else MANO_JOINT_NAMES.index(name) for name in JOINT_NAMES
)
"""For each of the 21 joints its place in MANO's 16 joints followed by the five tips in the order of ``FINGERS``."""

INTERHAND_TO_JOINTS: tuple[int, ...] = tuple(4 * f + k for f in range(5) for k in (4, 3, 2, 1)) + (0,)
"""For each joint of one InterHand2.6M hand its place among the 21."""

_Array = TypeVar("_Array", Tensor, np.ndarray)


def _reorder(values: _Array, order: Sequence[int], axis: int) -> _Array:
    if values.shape[axis] != len(order):
        raise ValueError(f"Expected {len(order)} joints on axis {axis}, got an array of shape {tuple(values.shape)}.")
    if isinstance(values, Tensor):
        return values.index_select(axis, torch.tensor(order, device=values.device))
    return np.take(values, order, axis=axis)


def _inverse(order: Sequence[int]) -> list[int]:
    return np.argsort(np.asarray(order)).tolist()


def from_interhand(values: _Array, *, axis: int = -2) -> _Array:
    """Reorder the 21 joints of one InterHand2.6M hand (tips first, wrist last) to the project's order.

    Args:
        values: Anything with 21 entries on ``axis``; a tensor or a numpy array.
        axis: The axis of the joints; -2 suits positions ``[..., 21, 3]``.

    Raises:
        ValueError: If the axis has no 21 entries.
    """
    return _reorder(values, _inverse(INTERHAND_TO_JOINTS), axis)


def to_interhand(values: _Array, *, axis: int = -2) -> _Array:
    """Reorder the project's 21 joints to those of one InterHand2.6M hand; inverse of :func:`from_interhand`."""
    return _reorder(values, INTERHAND_TO_JOINTS, axis)


def split_interhand(values: Shaped[Tensor, "42 C"]) -> Shaped[Tensor, "2 21 C"]:
    """Split InterHand2.6M's 42 joints (right hand first) into both sides in the order of ``SIDES``.

    Args:
        values: Joints 0-20 of the right and 21-41 of the left hand, as the annotation files list them.

    Returns:
        Left then right hand, each in the project's joint order.
    """
    right, left = values[:21], values[21:]
    return torch.stack([from_interhand(left, axis=0), from_interhand(right, axis=0)])
