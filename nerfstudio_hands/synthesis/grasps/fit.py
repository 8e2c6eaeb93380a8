"""Grasps of the mean hand for hands of other people: the thing goes to where the same skin touches it, fingers open and
close until they touch it again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from nerfstudio_hands.hand_model.joint_limits import FLEXION
from nerfstudio_hands.hand_model.joints import MANO_TO_JOINTS
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.synthesis.grasps.pool import Grasps
from nerfstudio_hands.synthesis.grasps.search import CLEARANCE, PACE, Attempt, Hands
from nerfstudio_hands.synthesis.grasps.shapes import solid
from nerfstudio_hands.synthesis.implicit_shapes import gradient
from nerfstudio_hands.synthesis.physique import PersonalHand
from nerfstudio_hands.synthesis.quick.people import body_plan

STEPS = 3
"""Corrections, each of all fingers at once."""

LEAST_STEP, LEAST_PUSH = np.radians(0.3), 2e-4
"""Radians and meters: smaller corrections are not made."""

MOST_STEP = np.radians(10.0)
"""By which a finger's joints turn in a correction."""

LEAST_LEVER = 0.01
"""Meters by which skin nears the thing for each radian of bending; what slides along it is not corrected further."""

CONTACT = 3e-3
"""Meters to the thing up to which skin of the mean hand counts as touching it."""


@dataclass(frozen=True)
class FittedGrasp:
    """A grasp of a person's right hand."""

    angles: Float[np.ndarray, "15 3"]
    """Of the fingers, see `joint_limits`, radians."""
    to_rest: Float[np.ndarray, "4 4"]
    """From the thing's frame to that of the hand at rest."""
    posed: PosedHand
    """The hand with its wrist at rest."""
    depth: float
    """Meters to which vertices of the hand are in the thing, at most; negative is the nearest one's distance."""


@dataclass(frozen=True)
class _Touch:
    """Where the mean hand of a model touches a thing."""

    vertices: Int[np.ndarray, "N"]
    places: Float[np.ndarray, "N 3"]
    fingers: Float[np.ndarray, "5"]
    """Whether each finger, in MANO's order, touches."""


@lru_cache(maxsize=4)
def mean_hands(source: str) -> Hands:
    """The mean right hand of a model, see `body_plan`."""
    model = body_plan(source).model
    return Hands(PersonalHand(model, torch.zeros(model.num_shape)))


def fitted_grasp(
    source: str, own: PersonalHand, grasps: Grasps, row: int, jitter: Float[np.ndarray, "15 3"]
) -> FittedGrasp:
    """A grasp of the pool for a person.

    Args:
        source: Of the hand model, see `body_plan`.
        own: The person's right hand.
        grasps: The pool.
        row: Which of it.
        jitter: What is added to its angles, radians; fingers that were moved do not close again.
    """
    hands, touch = mean_hands(source), _touch(source, grasps, row)
    held, rotation = solid(grasps.kinds[row], int(grasps.seeds[row])), grasps.to_rest[row, :, :3].astype(float)
    angles = np.clip(grasps.angles[row] + jitter, hands.least, hands.most)
    closing = touch.fingers * ~jitter.reshape(5, -1).any(1)
    posed = hands.posed(angles[None], own)
    vertices = posed.vertices[0].double().numpy()
    center = grasps.to_rest[row, :, 3] + _shift(hands, touch, vertices)
    for _ in range(STEPS):
        attempt = Attempt(held, angles, rotation, center)
        distance = attempt.distance(vertices)
        turned, push = _corrected(hands, attempt, posed, distance, closing)
        if np.abs(turned - angles).max() < LEAST_STEP and np.abs(push).max() < LEAST_PUSH:
            break
        angles, center = turned, center + push
        posed = hands.posed(angles[None], own)
        vertices = posed.vertices[0].double().numpy()
    depth = -float(Attempt(held, angles, rotation, center).distance(vertices).min())
    to_rest = np.eye(4)
    to_rest[:3, :3], to_rest[:3, 3] = rotation, center
    return FittedGrasp(angles, to_rest, posed, depth)


@lru_cache(maxsize=2048)
def _touch_of(source: str, kind: str, seed: int, pose: bytes) -> _Touch:
    hands, numbers = mean_hands(source), np.frombuffer(pose, np.float32)
    angles, to_rest = numbers[:45].reshape(15, 3).astype(float), numbers[45:].reshape(3, 4).astype(float)
    vertices = hands.posed(angles[None]).vertices[0].double().numpy()
    distance = Attempt(solid(kind, seed), angles, to_rest[:, :3], to_rest[:, 3]).distance(vertices)
    near = np.flatnonzero(distance < CONTACT)
    joints = hands.joint[near]
    fingers = np.bincount(joints[joints >= 0] // 3, minlength=5) > 0
    return _Touch(near, vertices[near], fingers.astype(float))


def _touch(source: str, grasps: Grasps, row: int) -> _Touch:
    pose = np.concatenate([grasps.angles[row].ravel(), grasps.to_rest[row].ravel()])
    return _touch_of(source, grasps.kinds[row], int(grasps.seeds[row]), pose.astype(np.float32).tobytes())


def _shift(hands: Hands, touch: _Touch, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "3"]:
    """By how much what touches has moved: the mean over palm and fingers, whatever the number of their vertices."""
    if not len(touch.vertices):
        return np.zeros(3)
    offset, part = vertices[touch.vertices] - touch.places, hands.joint[touch.vertices] // 3
    return np.mean([offset[part == one].mean(0) for one in np.unique(part)], axis=0)


def _corrected(
    hands: Hands,
    attempt: Attempt,
    posed: PosedHand,
    distance: Float[np.ndarray, "V"],
    closing: Float[np.ndarray, "5"],
) -> tuple[Float[np.ndarray, "15 3"], Float[np.ndarray, "3"]]:
    """A Newton step: angles by which each finger's nearest vertex comes to the clearance, and what the palm pushes."""
    vertices = posed.vertices[0].double().numpy()
    nearest = _nearest_of_parts(hands, distance)
    found = np.flatnonzero(np.isfinite(distance[nearest]))
    own = (vertices[nearest[found]] - attempt.center) @ attempt.rotation
    slope = gradient(own, attempt.solid.distance) @ attempt.rotation.T
    short = np.maximum(np.linalg.norm(slope, axis=1), 0.3)
    missing = (CLEARANCE - distance[nearest[found]]) / short
    angles, push = attempt.angles.copy(), np.zeros(3)
    for part, gap, normal in zip(found, missing, slope / short[:, None], strict=True):
        if part == 5:
            push = -max(gap, 0.0) * normal
        elif gap > 0 or closing[part]:
            angles[3 * part : 3 * part + 3, FLEXION] += _turn(hands, posed, int(nearest[part]), gap, normal)
    return np.clip(angles, hands.least, hands.most), push


def _nearest_of_parts(hands: Hands, distance: Float[np.ndarray, "V"]) -> Int[np.ndarray, "6"]:
    """Vertex nearest to the thing of each finger, in MANO's order, and of the palm."""
    part = np.where(hands.joint < 0, 5, hands.joint // 3)
    order = np.lexsort((distance, part))
    return order[np.searchsorted(part[order], np.arange(6))]


def _turn(
    hands: Hands, posed: PosedHand, vertex: int, gap: float, normal: Float[np.ndarray, "3"]
) -> Float32[np.ndarray, "3"]:
    """Angles of a finger's joints that take a vertex so far along a direction."""
    joint, place = int(hands.joint[vertex]), posed.vertices[0, vertex].double().numpy()
    first, rate = joint - joint % 3, 0.0
    for bone in range(first, joint + 1):
        axis = posed.bone_transforms[0, bone + 1, :3, :3].double().numpy() @ hands.axes[bone, FLEXION]
        start = posed.keypoints[0, MANO_TO_JOINTS[bone + 1]].double().numpy()
        rate += PACE[bone - first] * float(np.cross(axis, place - start) @ normal)
    if abs(rate) < LEAST_LEVER:
        return np.zeros(3)
    step = np.clip(gap / rate, -MOST_STEP, MOST_STEP)
    return step * np.array(PACE)
