"""How a hand takes hold of an object: the object is laid against the palm, the fingers close until they touch it.

Frame: that of a right hand at rest, x from the fingers to the wrist, y out of the back, z towards the thumb, meters. A
left hand does the mirror image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model.gestures import gesture
from nerfstudio_hands.hand_model.joint_limits import FLEXION, angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.hand_model.model import mirror_rotations
from nerfstudio_hands.synthesis.held_object import SyntheticObject
from nerfstudio_hands.synthesis.physique import PersonalHand

CLEARANCE = 0.6e-3
"""Meters that points on the coarse hand keep from the object: the rendered skin is finer and has a relief."""

STEPS = (2.0, 0.25)
"""Degrees by which fingers close, first in large steps, then in small ones."""

PACE = (1.0, 1.1, 0.7)
"""How fast the three joints of a finger close, relative to a step."""

OF_A_FINGER = 0.1
"""Skinning weight of its joints from which on a point belongs to a finger."""

REACH = 0.008
"""Meters; no step takes a finger so deep into an object."""

START_BELOW = 0.12
"""Meters below the palm from which the object approaches."""


@dataclass(frozen=True)
class Hold:
    """How an object is laid against the palm."""

    rotation: tuple[float, float, float]
    """Degrees about z, then y, then x of the rest frame, from an object whose axis points to the thumb's side."""
    offset: tuple[float, float]
    """Millimeters from the knuckle of the middle finger to its middle, towards the wrist and towards the thumb."""
    thumb: tuple[float, float]
    """Spread and twist of the thumb's first joint, degrees."""


HOLDS = {
    "box": Hold((0.0, 0.0, 0.0), (8.0, 4.0), (40.0, 10.0)),
    "cylinder": Hold((0.0, -8.0, 0.0), (8.0, 4.0), (40.0, 10.0)),
    "mug": Hold((-90.0, 0.0, 0.0), (8.0, 2.0), (40.0, 10.0)),
    "superquadric": Hold((0.0, 0.0, 0.0), (8.0, 4.0), (40.0, 10.0)),
}
"""By kind; the mug's handle points away from the palm."""


@dataclass(frozen=True)
class Grasp:
    """A pose of the fingers and where the object is; both for the hand's own side."""

    local_rotations: Float[Tensor, "15 3"]
    object_to_rest: Float[np.ndarray, "4 4"]
    """From the object's frame to the hand's rest frame; the wrist's transform takes it on to the world."""

    def mirrored(self) -> Grasp:
        """The same by the other hand; the object, which is its own mirror image in the plane y = 0, stays as it is."""
        hands, own = np.diag([-1.0, 1.0, 1.0, 1.0]), np.diag([1.0, -1.0, 1.0, 1.0])
        return Grasp(mirror_rotations(self.local_rotations), hands @ self.object_to_rest @ own)


def find_grasp(right: PersonalHand, held: SyntheticObject) -> Grasp:
    """Lets a right hand take hold of an object.

    Args:
        right: The person's right hand.
        held: The object.
    """
    hand = _Probe(right)
    hold = HOLDS[held.kind]
    surfaces = Surfaces(torch.from_numpy(held.faces), torch.from_numpy(held.vertices).float()[None])
    rotation = Rotation.from_euler("zyx", hold.rotation, degrees=True).as_matrix()
    opened = np.radians(gesture(thumb=(-10.0, 0.0, 0.0, *hold.thumb)))
    points = hand.points(opened)
    away = hand.knuckle + 1e-3 * np.array([hold.offset[0], 0.0, hold.offset[1]]) - [0.0, START_BELOW, 0.0]

    def distance(points: Tensor, center: np.ndarray, reach: float = math.inf) -> Tensor:
        own = (points.double() - torch.from_numpy(center)) @ torch.from_numpy(rotation)
        return surfaces.closest(own.float(), max_distance=reach).signed_distance

    # What is further away than the object moves cannot be met: steps as long as the distance never pass through.
    center = away.copy()
    for _ in range(100):
        free = float(distance(points, center).min()) - CLEARANCE
        if free < 1e-4:
            break
        center[1] += free
    angles = _close(hand, opened, lambda points: distance(points, center, REACH))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, center
    return Grasp(hand.rotations(angles), pose)


def _close(hand: _Probe, angles: np.ndarray, distance: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Bends every finger joint by joint until something of it touches or its limit is reached."""
    angles = angles.copy()
    for step in STEPS:
        stopped = np.zeros((5, 3), dtype=bool)
        while not stopped.all():
            wanted = angles.copy()
            wanted[:, FLEXION] += np.where(stopped, 0, np.radians(step) * np.array(PACE)).ravel()
            stopped |= (wanted[:, FLEXION] > hand.most).reshape(5, 3)
            wanted[:, FLEXION] = np.minimum(wanted[:, FLEXION], hand.most)
            touching = hand.touching(distance(hand.points(wanted)) < CLEARANCE)
            for finger in range(5):
                rows = slice(3 * finger, 3 * finger + 3)
                if touching[finger].any():
                    # A joint before what touches stays; those behind it go on.
                    stopped[finger, : int(np.flatnonzero(touching[finger])[-1]) + 1] = True
                else:
                    angles[rows] = wanted[rows]
    return angles


class _Probe:
    """Points on a right hand that feel for contact."""

    def __init__(self, own: PersonalHand) -> None:
        right = own.model
        self._own, self._axes = own, joint_axes(right)
        self._pairs = edges(right.faces)[0]
        weights = right.weights[:, 1:].numpy()
        weights = np.concatenate([weights, weights[self._pairs.numpy()].mean(1), weights[right.faces.numpy()].mean(1)])
        self._joint: Int[np.ndarray, "P"] = np.where(weights.sum(1) > OF_A_FINGER, weights.argmax(1), -1)
        self.most = joint_limits(right)[:, FLEXION, 1].double().numpy()
        rest = own.pose(torch.zeros(1, 3), torch.zeros(1, 15, 3), torch.zeros(1, 3))
        self.knuckle = rest.keypoints[0, 9].double().numpy()

    def rotations(self, angles: np.ndarray) -> Float[Tensor, "15 3"]:
        return angles_to_rotations(self._axes, torch.from_numpy(angles).float())

    def points(self, angles: np.ndarray) -> Float[Tensor, "P 3"]:
        """Vertices, middles of edges and of faces."""
        none = torch.zeros(1, 3)
        vertices = self._own.pose(none, self.rotations(angles)[None], none).vertices[0]
        return torch.cat([vertices, vertices[self._pairs].mean(1), vertices[self._own.model.faces].mean(1)])

    def touching(self, contact: Tensor) -> np.ndarray:
        """Which of the three phalanges of each finger, in MANO's order, has a point in contact."""
        joints = self._joint[contact.numpy()]
        return (np.bincount(joints[joints >= 0], minlength=15) > 0).reshape(5, 3)
