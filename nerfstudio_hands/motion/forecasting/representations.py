"""What a forecaster reads and says of a moment: joint positions, or the angles and the wrist of a hand.

A *state* holds all that is known of a moment, in the world. *Features* are the numbers that a network sees: states
relative to the last one that is given, the *anchor*, so that it does not matter where in the world a hand is and which
way it is turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.motion.forecasting.skeleton import Skeleton
from nerfstudio_hands.transforms.rotations import rotation_matrix

DECIMETERS = 10.0
"""Positions in features are in decimetres, of the size of angles in radians."""


class Representation(Protocol):
    """Between states, features and joints; B is any batch."""

    @property
    def width(self) -> int:
        """Numbers of a moment's features."""
        ...

    def encode(self, states: Float[Tensor, "*B T S"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T D"]:
        """Features of states."""
        ...

    def decode(self, features: Float[Tensor, "*B T D"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T S"]:
        """States of features; inverse of `encode`."""
        ...

    def joints(self, states: Float[Tensor, "*B T S"]) -> Float[Tensor, "*B T J 3"]:
        """Joints of states, metres."""
        ...


@dataclass(frozen=True)
class JointPositions:
    """Positions of joints; a state is all of them, flattened, metres.

    Attributes:
        num_joints: J.
        absolute: Whether states are in the world, so that the path of the wrist is forecast as well; otherwise they are
            relative to the first joint, the wrist, of their own moment.
    """

    num_joints: int = 21
    absolute: bool = False

    @property
    def width(self) -> int:
        return 3 * self.num_joints

    def states(self, joints: Float[Tensor, "*B T J 3"]) -> Float[Tensor, "*B T S"]:
        """States of joints in metres."""
        return (joints if self.absolute else joints - joints[..., :1, :]).flatten(-2)

    def encode(self, states: Float[Tensor, "*B T S"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T D"]:
        return DECIMETERS * (states - self._origin(anchor))

    def decode(self, features: Float[Tensor, "*B T D"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T S"]:
        return features / DECIMETERS + self._origin(anchor)

    def joints(self, states: Float[Tensor, "*B T S"]) -> Float[Tensor, "*B T J 3"]:
        return states.unflatten(-1, (self.num_joints, 3))

    def _origin(self, anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B 1 S"]:
        """The first joint of the anchor, once a joint; it is zero where states are relative."""
        return anchor[..., :3].repeat(*(1,) * (anchor.dim() - 1), self.num_joints)[..., None, :]


@dataclass(frozen=True)
class HandAngles:
    """A right hand as joint angles, wrist orientation and wrist place; a state is 45 angles (flexion, spread and twist
    of joints 1-15, radians), 9 numbers of a rotation matrix and 3 of a place (metres). Left hands come as their mirror
    image.
    """

    skeleton: Skeleton

    @property
    def width(self) -> int:
        return 51

    def encode(self, states: Float[Tensor, "*B T S"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T D"]:
        angles, orientation, place = split_state(states)
        _, turned, origin = split_state(anchor[..., None, :])
        turn = roma.rotmat_to_rotvec(turned.mT @ orientation)
        way = ((place - origin)[..., None, :] @ turned)[..., 0, :]
        return torch.cat([angles, turn, DECIMETERS * way], dim=-1)

    def decode(self, features: Float[Tensor, "*B T D"], anchor: Float[Tensor, "*B S"]) -> Float[Tensor, "*B T S"]:
        _, turned, origin = split_state(anchor[..., None, :])
        angles, turn, way = features.split((45, 3, 3), dim=-1)
        orientation = turned @ rotation_matrix(turn)
        place = origin + (turned @ way[..., None])[..., 0] / DECIMETERS
        return join_state(angles, orientation, place)

    def joints(self, states: Float[Tensor, "*B T S"]) -> Float[Tensor, "*B T J 3"]:
        return self.skeleton.joints(*split_state(states))


def split_state(
    states: Float[Tensor, "*B 57"],
) -> tuple[Float[Tensor, "*B 45"], Float[Tensor, "*B 3 3"], Float[Tensor, "*B 3"]]:
    """Angles, orientation and place of a state of `HandAngles`."""
    angles, orientation, place = states.split((45, 9, 3), dim=-1)
    return angles, orientation.unflatten(-1, (3, 3)), place


def join_state(
    angles: Float[Tensor, "*B 45"], orientation: Float[Tensor, "*B 3 3"], place: Float[Tensor, "*B 3"]
) -> Float[Tensor, "*B 57"]:
    """Inverse of :func:`split_state`."""
    return torch.cat([angles, orientation.flatten(-2), place], dim=-1)
