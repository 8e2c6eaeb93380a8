"""Where things are on a hand: local frames at the joints, fingers, palm and back, nails.

Everything here lives on the mean shape of a right hand in its rest pose, meters, x from the fingers to the wrist, y out
of the back, z towards the thumb. A left hand is looked up at its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int

from nerfstudio_hands.hand_model.joints import FINGERS, MANO_FINGERS
from nerfstudio_hands.hand_model.model import HandModel, pose_hand

Record = TypeVar("Record")

THUMB_ROLL = np.pi / 2
"""Angle by which the back of the thumb is turned against the backs of the fingers; a relaxed thumb shows its side."""


@dataclass(frozen=True)
class Anatomy:
    """Joints of the mean right hand in its rest pose and their frames, in the order of the 21 joints."""

    joints: Float[np.ndarray, "21 3"]
    """Positions, meters."""
    along: Float[np.ndarray, "21 3"]
    """Unit direction towards the fingertip."""
    back: Float[np.ndarray, "21 3"]
    """Unit direction out of the back (of the nail), perpendicular to `along`."""
    across: Float[np.ndarray, "21 3"]
    """`along` x `back`: away from the thumb on a finger."""

    def local(self, points: Float[np.ndarray, "N 3"], joint: int) -> Float[np.ndarray, "N 3"]:
        """Coordinates (along, across, back) of points in the frame of a joint, in millimeters."""
        axes = np.stack([self.along[joint], self.across[joint], self.back[joint]], axis=1)
        return (points - self.joints[joint]) @ axes * 1e3

    def bone_length(self, joint: int) -> float:
        """Distance from the joint before to this one in millimeters; not for a finger's first joint."""
        return float(np.linalg.norm(self.joints[joint] - self.joints[joint - 1])) * 1e3


@dataclass(frozen=True)
class SkinPoints:
    """Points on the skin, as far as their look depends on where they are; N points."""

    position: Float[np.ndarray, "N 3"]
    """On the mean right hand in its rest pose, meters; of sleeves and objects, where these are at rest."""
    finger: Float[np.ndarray, "N 5"]
    """How much each finger holds the point, in the order of `FINGERS`; the rest is palm, wrist and forearm."""
    dorsal: Float[np.ndarray, "N"]
    """1 where the skin faces the way the nails do, -1 on the palm side."""

    @classmethod
    def off_skin(cls, position: Float[np.ndarray, "N 3"]) -> SkinPoints:
        """Points of something else, whose look depends on the position alone."""
        return cls(position, np.zeros((len(position), 5)), np.zeros(len(position)))

    def moved(self, offset: Float[np.ndarray, "N 3"]) -> SkinPoints:
        """The same points at a small offset, for differences."""
        return SkinPoints(self.position + offset, self.finger, self.dorsal)


def interpolate(
    values: Float[np.ndarray, "V *C"], corners: Int[np.ndarray, "M 3"], barycentric: Float[np.ndarray, "M 3"]
) -> Float[np.ndarray, "M *C"]:
    """Values of vertices at points of triangles."""
    return np.einsum("nk,nk...->n...", barycentric, values[corners])


def interpolate_all(record: Record, corners: Int[np.ndarray, "M 3"], barycentric: Float[np.ndarray, "M 3"]) -> Record:
    """A record of arrays of vertices at points of triangles."""
    return type(record)(*(interpolate(getattr(record, f.name), corners, barycentric) for f in fields(record)))  # pyright: ignore[reportArgumentType]


def read_anatomy(right: HandModel) -> Anatomy:
    """Joint frames of a right hand in its rest pose."""
    zeros = torch.zeros(1, 3)
    rest = pose_hand(right, zeros, torch.zeros(1, 15, 3), zeros, torch.zeros(1))
    joints = rest.keypoints[0].double().numpy()
    along = np.zeros_like(joints)
    back = np.zeros_like(joints)
    along[0] = joints[9] - joints[0]
    back[0] = (0.0, 1.0, 0.0)
    for finger in range(5):
        first = 1 + 4 * finger
        bones = np.diff(joints[first : first + 4], axis=0)
        along[first : first + 4] = [bones[0], bones[0] + bones[1], bones[1] + bones[2], bones[2]]
        back[first : first + 4] = (0.0, 1.0, 0.0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    back -= (back * along).sum(1, keepdims=True) * along
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    across = np.cross(along, back)
    back[1:5] = np.cos(THUMB_ROLL) * back[1:5] - np.sin(THUMB_ROLL) * across[1:5]
    return Anatomy(joints, along, back, np.cross(along, back))


def finger_membership(weights: Float[np.ndarray, "V 16"]) -> Float[np.ndarray, "V 5"]:
    """Skinning weights summed over each finger's three joints, in the order of `FINGERS`."""
    starts = [1 + 3 * MANO_FINGERS.index(finger) for finger in FINGERS]
    return np.stack([weights[:, start : start + 3].sum(1) for start in starts], axis=1)


def dorsality(
    anatomy: Anatomy, normals: Float[np.ndarray, "V 3"], finger: Float[np.ndarray, "V 5"]
) -> Float[np.ndarray, "V"]:
    """How far normals of the rest pose face the back, 1 to -1; on a finger its own back counts."""
    backs = anatomy.back[[3, 7, 11, 15, 19]]
    own = 1 - finger.sum(1, keepdims=True)
    direction = finger @ backs + own * anatomy.back[0]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return (normals * direction).sum(1)
