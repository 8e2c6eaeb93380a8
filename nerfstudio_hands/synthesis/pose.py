"""Poses given the way a person describes them: how far each finger is bent and spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.hand_model.joints import FINGERS, MANO_FINGERS
from nerfstudio_hands.synthesis.anatomy import Anatomy


@dataclass(frozen=True)
class FingerPose:
    """Bend of a finger's three joints and spread of its first, all in degrees, relative to the rest pose."""

    bend: tuple[float, float, float]
    """From the palm outwards; positive closes the hand."""
    spread: float
    """Positive moves the tip towards the thumb's side."""


RELAXED: dict[str, FingerPose] = {
    "thumb": FingerPose((0.0, 4.0, 8.0), 8.0),
    "index": FingerPose((0.0, 2.0, 0.0), 3.0),
    "middle": FingerPose((4.0, 6.0, 4.0), 0.0),
    "ring": FingerPose((7.0, 9.0, 6.0), -2.0),
    "pinky": FingerPose((4.0, 10.0, 6.0), -6.0),
}
"""An open hand at ease: the fingers bend more and more towards the little finger."""

CURLED: dict[str, FingerPose] = {
    "thumb": FingerPose((8.0, 22.0, 34.0), 0.0),
    "index": FingerPose((22.0, 34.0, 20.0), 0.0),
    "middle": FingerPose((30.0, 42.0, 26.0), 0.0),
    "ring": FingerPose((34.0, 44.0, 28.0), 0.0),
    "pinky": FingerPose((32.0, 42.0, 28.0), -4.0),
}
"""A hand about to take hold of something."""


def blend_poses(first: dict[str, FingerPose], second: dict[str, FingerPose], amount: float) -> dict[str, FingerPose]:
    """Angles between two poses; 0 is the first."""
    mixed = {}
    for finger in FINGERS:
        a, b = first[finger], second[finger]
        bend = tuple((1 - amount) * x + amount * y for x, y in zip(a.bend, b.bend, strict=True))
        mixed[finger] = FingerPose(bend, (1 - amount) * a.spread + amount * b.spread)
    return mixed


def local_rotations(anatomy: Anatomy, pose: dict[str, FingerPose]) -> Float[Tensor, "15 3"]:
    """Axis-angle rotations of a right hand's joints 1 to 15 in MANO order, about the axes of the rest frame."""
    result = np.zeros((15, 3))
    for finger, angles in pose.items():
        first = 1 + 4 * FINGERS.index(finger)
        row = 3 * MANO_FINGERS.index(finger)
        for k in range(3):
            # Bending turns `along` towards the palm, and the axis of that is back x along = -across.
            bend = Rotation.from_rotvec(-np.radians(angles.bend[k]) * anatomy.across[first + k])
            if k == 0:
                bend = Rotation.from_rotvec(np.radians(angles.spread) * anatomy.back[first]) * bend
            result[row + k] = bend.as_rotvec()
    return torch.from_numpy(result).float()
