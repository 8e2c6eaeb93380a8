"""How a hand takes hold of an object: the object is laid against the palm, the fingers close until they touch it.

Frame: that of a right hand at rest, x from the fingers to the wrist, y out of the back, z towards the thumb, meters. A
left hand does the mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.hand_model.gestures import gesture
from nerfstudio_hands.hand_model.model import mirror_rotations
from nerfstudio_hands.synthesis.grasps.search import CLEARANCE, START_BELOW, Attempt, Hands, closed, felt
from nerfstudio_hands.synthesis.grasps.shapes import Solid
from nerfstudio_hands.synthesis.held_object import SyntheticObject
from nerfstudio_hands.synthesis.physique import PersonalHand


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
    hands, hold = _FeelingAll(right), HOLDS[held.kind]
    surfaces = Surfaces(torch.from_numpy(held.faces), torch.from_numpy(held.vertices).float()[None])

    def distance(own: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        return surfaces.closest(torch.from_numpy(own).float()).signed_distance.double().numpy()

    rotation = Rotation.from_euler("zyx", hold.rotation, degrees=True).as_matrix()
    opened = np.radians(gesture(thumb=(-10.0, 0.0, 0.0, *hold.thumb)))
    points = hands.feelers(hands.posed(opened[None]).vertices[0])[0].double().numpy()
    center = hands.knuckle + 1e-3 * np.array([hold.offset[0], 0.0, hold.offset[1]]) - [0.0, START_BELOW, 0.0]
    # What is further away than the object moves cannot be met: steps as long as the distance never pass through.
    for _ in range(100):
        free = distance((points - center) @ rotation).min() - CLEARANCE
        if free < 1e-4:
            break
        center[1] += free
    solid = Solid(distance, held.vertices.min(0), held.vertices.max(0), grips=())
    angles = closed(hands, [Attempt(solid, opened, rotation, center)], relax=False)[0]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, center
    return Grasp(hands.rotations(angles), pose)


class _FeelingAll(Hands):
    """A hand that also feels by the middles of its edges and faces."""

    def feelers(self, vertices: Float[Tensor, "V 3"]) -> tuple[Float[Tensor, "P 3"], Int[np.ndarray, "P"]]:
        return felt(self, vertices)
