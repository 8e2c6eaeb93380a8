"""Many grasps at once: things are laid against the palm or between thumb and fingers, the hands close until they touch.

While hands close, distances are what the things' functions say; what was found is measured on their meshes at the end.
Frame: that of a right hand at rest, see `grasp`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.topology import closing_faces, edges
from nerfstudio_hands.hand_model.gestures import all_fingers, gesture
from nerfstudio_hands.hand_model.joint_limits import FLEXION, angles_to_rotations, joint_axes, joint_limits
from nerfstudio_hands.hand_model.joints import MANO_FINGERS
from nerfstudio_hands.hand_model.model import PosedHand
from nerfstudio_hands.synthesis.grasps.shapes import Grip, Solid
from nerfstudio_hands.synthesis.implicit_shapes import gradient, onto_surface
from nerfstudio_hands.synthesis.physique import PersonalHand

THUMB = MANO_FINGERS.index("thumb")

CLEARANCE = 0.6e-3
"""Meters that points on the coarse hand keep from a thing: the rendered skin is finer and has a relief."""

STEPS = (2.0, 0.25)
"""Degrees by which fingers close, first in large steps, then in small ones."""

PACE = (1.0, 1.1, 0.7)
"""How fast the three joints of a finger close, relative to a step."""

OF_A_FINGER = 0.1
"""Skinning weight of its joints from which on a point belongs to a finger."""

START_BELOW = 0.12
"""Meters below the palm from which a thing approaches."""

NEAR = 0.004
"""Meters around the box of a thing within which distances to it are computed."""

BETWEEN_BONES = 0.0145
"""Meters that the middle lines of thumb and fingers keep from each other: about the sum of their radii."""

WIDEST_PINCH = 0.085
"""Meters between two sides of a thing that thumb and fingers are laid on."""

TOUCHING = 1.5e-3
"""Meters to a thing up to which a hand touches it."""

DEEPEST = 1.5e-3
"""Meters to which a hand may enter a thing, or be entered by it."""

OPPOSED = -0.4
"""Cosine between the normals of two places of contact below which a thing is held between them."""


@dataclass(frozen=True)
class Attempt:
    """A hand about to close around a thing."""

    solid: Solid
    angles: Float[np.ndarray, "15 3"]
    """Of the fingers, see `joint_limits`, radians."""
    rotation: Float[np.ndarray, "3 3"]
    """From the thing's frame."""
    center: Float[np.ndarray, "3"]
    """Of the thing, meters."""

    def distance(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """Distance to the thing, infinite for what is far from the box round it."""
        own = (points - self.center) @ self.rotation
        near = np.flatnonzero(((own > self.solid.low - NEAR) & (own < self.solid.high + NEAR)).all(1))
        found = np.full(len(points), np.inf)
        found[near] = self.solid.distance(own[near])
        return found


@dataclass(frozen=True)
class Held:
    """How well a thing is held, measured on meshes."""

    depth: float
    """Meters to which hand and thing enter each other."""
    fingers: Bool[np.ndarray, "5"]
    """Which fingers, in MANO's order, touch it."""
    is_opposed: bool
    """Whether it is touched from two sides."""

    @property
    def is_good(self) -> bool:
        """Whether the thing would stay, and nothing is where something else is."""
        return self.depth <= DEEPEST and self.fingers.sum() >= 2 and self.is_opposed


class Hands:
    """A person's right hand in many poses at once."""

    def __init__(self, own: PersonalHand) -> None:
        self.own, self.model = own, own.model
        self._axes = joint_axes(own.model).double()
        self.axes = self._axes.numpy()
        """Of the joints, see `joint_axes`."""
        fingers = own.model.weights[:, 1:].numpy()
        self.joint = np.where(fingers.sum(1) > OF_A_FINGER, fingers.argmax(1), -1)
        """Joint of each vertex from 0 in MANO's order without the wrist, -1 in the palm."""
        self.least, self.most = joint_limits(own.model).double().numpy().transpose(2, 0, 1)
        self.knuckle = self.posed(np.zeros((1, 15, 3))).keypoints[0, 9].double().numpy()

    def rotations(self, angles: Float[np.ndarray, "*B 15 3"]) -> Float[Tensor, "*B 15 3"]:
        """Axis-angle, see `joint_limits`."""
        return angles_to_rotations(self._axes, torch.from_numpy(angles)).float()

    def posed(self, angles: Float[np.ndarray, "B 15 3"], other: PersonalHand | None = None) -> PosedHand:
        """With the wrist at rest; or another person's, whose joints have the same axes."""
        none = torch.zeros(len(angles), 3)
        return (other or self.own).pose(none, self.rotations(angles), none)

    def feelers(self, vertices: Float[Tensor, "V 3"]) -> tuple[Float[Tensor, "P 3"], Int[np.ndarray, "P"]]:
        """Points that feel for contact as the hand closes, and the joint that each belongs to."""
        return vertices, self.joint

    def touching(self, attempts: list[Attempt], angles: Float[np.ndarray, "B 15 3"]) -> Bool[np.ndarray, "B 5 3"]:
        """Which phalanges of each finger are nearer to their thing than they may come; fingers that meet the thumb
        touch by their tips."""
        posed = self.posed(angles)
        found = np.zeros((len(attempts), 5, 3), bool)
        for row, (attempt, vertices) in enumerate(zip(attempts, posed.vertices, strict=True)):
            points, joints = self.feelers(vertices)
            joints = joints[attempt.distance(points.double().numpy()) < CLEARANCE]
            found[row] = (np.bincount(joints[joints >= 0], minlength=15) > 0).reshape(5, 3)
        met = _met_by_thumb(posed.keypoints.double().numpy())
        found[:, :, 2] |= met
        return found


def fist_attempt(hands: Hands, solid: Solid, rng: np.random.Generator) -> Attempt | None:
    """A thing laid against the palm of an open hand; None where it does not get there."""
    grip = solid.grips[rng.integers(len(solid.grips))]
    rotation = _rolled(grip, rng)
    thumb = (-10.0, 0.0, 0.0, rng.uniform(25, 43), rng.uniform(0, 15))
    angles = np.radians(gesture(thumb=thumb))
    aside = np.array([rng.uniform(-2, 16), 0.0, rng.uniform(-6, 10)]) * 1e-3
    held = rotation @ (grip.point + grip.axis * rng.uniform(*grip.along))
    start = hands.knuckle + aside - held
    start[1] -= START_BELOW + np.abs(rotation @ (solid.high - solid.low))[1]
    vertices = hands.posed(angles[None]).vertices[0].double().numpy()
    center = _lifted(solid, rotation, start, vertices)
    return None if center is None else Attempt(solid, angles, rotation, center)


def pinch_attempt(hands: Hands, solid: Solid, rng: np.random.Generator) -> Attempt | None:
    """A thing between the opened thumb and one or more fingers, which will close on two opposite places of its
    surface; None where none were found or the hand is in the way."""
    sides = _opposite_places(solid, rng)
    if sides is None:
        return None
    first, second = sides
    width = float(np.linalg.norm(second - first))
    angles = _opened(rng)
    posed = hands.posed(angles)
    tips = posed.keypoints.double().numpy()
    number = int(rng.integers(1, 5))
    between = tips[:, [8, 12, 16, 20][:number]].mean(1) - tips[:, 4]
    opening = np.linalg.norm(between, axis=1) - width
    chosen = int(np.abs(opening - rng.uniform(0.018, 0.030)).argmin())
    if not 0.012 < opening[chosen] < 0.05:
        return None
    line = between[chosen] / np.linalg.norm(between[chosen])
    rotation = _turned_onto((second - first) / width, line, rng)
    center = tips[chosen, 4] + 0.5 * between[chosen] - rotation @ (0.5 * (first + second))
    attempt = Attempt(solid, angles[chosen], rotation, center + rng.normal(0, 2e-3, 3))
    vertices = posed.vertices[chosen].double().numpy()
    return attempt if attempt.distance(vertices).min() > CLEARANCE else None


def closed(hands: Hands, attempts: list[Attempt], *, relax: bool) -> Float[np.ndarray, "B 15 3"]:
    """Angles once every finger was bent joint by joint until something of it touches or its limit is reached.

    Args:
        hands: The hand.
        attempts: From where the hands close.
        relax: Whether fingers that met nothing go back half of their way.
    """
    start = np.stack([attempt.angles for attempt in attempts])
    angles, met = start.copy(), np.zeros((len(attempts), 5), bool)
    for step in STEPS:
        stopped = np.zeros((len(attempts), 5, 3), bool)
        while len(rows := np.flatnonzero(~stopped.all((1, 2)))):
            wanted = angles[rows]
            # What no joint before it moves has met what it meets already.
            moving = np.cumsum(~stopped[rows], axis=2) > 0
            bend = np.where(stopped[rows], 0, np.radians(step) * np.array(PACE)).reshape(-1, 15)
            wanted[:, :, FLEXION] += bend
            stopped[rows] |= (wanted[:, :, FLEXION] > hands.most[:, FLEXION]).reshape(-1, 5, 3)
            wanted[:, :, FLEXION] = np.minimum(wanted[:, :, FLEXION], hands.most[:, FLEXION])
            touching = hands.touching([attempts[row] for row in rows], wanted) & moving
            # A joint before what touches stays; those behind it go on.
            stopped[rows] |= np.cumsum(touching[:, :, ::-1], axis=2)[:, :, ::-1] > 0
            free = ~touching.any(2)
            met[rows] |= ~free
            angles[rows] = np.where(free.repeat(3, axis=1)[..., None], wanted, angles[rows])
    back = (~met & relax).repeat(3, axis=1)[..., None]
    return np.where(back, 0.5 * (start + angles), angles)


def measured(hands: Hands, attempt: Attempt, angles: Float[np.ndarray, "15 3"]) -> Held:
    """How a hand holds a thing, by signed distances between meshes."""
    vertices, faces = (torch.from_numpy(part) for part in attempt.solid.mesh(drawn=False))
    placed = (vertices @ torch.from_numpy(attempt.rotation.T) + torch.from_numpy(attempt.center)).float()
    held_object = Surfaces(faces, placed[None])
    skin = hands.posed(angles[None]).vertices
    points, joints = felt(hands, skin[0])
    found = held_object.closest(points, max_distance=0.03)
    hand = Surfaces(hands.model.faces, skin, closing_faces=closing_faces(hands.model.faces))
    inside = hand.closest(placed, max_distance=0.03).signed_distance
    depth = -min(float(found.signed_distance.min()), float(inside.min()))
    touching = (found.signed_distance < TOUCHING).numpy()
    fingers = np.bincount(joints[touching & (joints >= 0)] // 3, minlength=5) > 0
    normals = vertex_normals(placed, faces)[faces[found.face[touching].long(), 0]]
    is_opposed = len(normals) > 0 and bool((normals @ normals.T).min() < OPPOSED)
    return Held(depth, fingers, is_opposed)


def felt(hands: Hands, vertices: Float[Tensor, "V 3"]) -> tuple[Float[Tensor, "P 3"], Int[np.ndarray, "P"]]:
    """Vertices, middles of edges and of faces, and the joint that each belongs to."""
    pairs, faces = edges(hands.model.faces)[0], hands.model.faces
    points = torch.cat([vertices, vertices[pairs].mean(1), vertices[faces].mean(1)])
    return points, np.concatenate([hands.joint, hands.joint[pairs[:, 0]], hands.joint[faces[:, 0]]])


def _met_by_thumb(keypoints: Float[np.ndarray, "B 21 3"]) -> Bool[np.ndarray, "B 5"]:
    """Which fingers, in MANO's order, are where the thumb is; the thumb if any is."""
    share = np.linspace(0, 1, 4)[:, None]

    def samples(first: int) -> np.ndarray:
        ends = keypoints[:, first : first + 3, None]
        return (ends[:, :-1] * (1 - share) + ends[:, 1:] * share).reshape(len(keypoints), -1, 3)

    thumb = samples(2)[:, :, None]
    found = np.zeros((len(keypoints), 5), bool)
    for finger, first in enumerate((6, 10, 18, 14)):
        apart = np.linalg.norm(thumb - samples(first)[:, None], axis=-1)
        found[:, finger] = apart.min((1, 2)) < BETWEEN_BONES
    found[:, THUMB] = found.any(1)
    return found


def _rolled(grip: Grip, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """From a thing's frame: the axis of the fist to the thumb's side or the other way, the palm's direction up."""
    axis = grip.axis if rng.random() < 0.5 else -grip.axis
    own = np.stack([np.cross(grip.palm, axis), grip.palm, axis])
    roll = rng.uniform(-grip.roll, grip.roll)
    tilt = Rotation.from_euler("zyx", [roll, rng.normal(-6, 12), rng.normal(0, 5)], degrees=True)
    return tilt.as_matrix() @ own


def _lifted(
    solid: Solid, rotation: np.ndarray, start: np.ndarray, vertices: Float[np.ndarray, "V 3"]
) -> Float[np.ndarray, "3"] | None:
    """Where a thing first touches a hand above it; None where it passes or gets stuck below the palm."""
    center = start.copy()
    for _ in range(60):
        own = (vertices - center) @ rotation
        # Outside of the box the distance to the box is a lower bound of that to the thing.
        outside = np.linalg.norm(np.maximum(np.maximum(solid.low - own, own - solid.high), 0), axis=1)
        free = outside.min() if outside.min() > NEAR else solid.distance(own[outside <= 2 * NEAR]).min() - CLEARANCE
        if free < 1e-4:
            return center
        center[1] += free
        if center[1] > start[1] + 0.4:
            return None
    return center


def _opposite_places(solid: Solid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Two places on the surface whose normals are about opposite and on the line between them."""
    points = onto_surface(rng.uniform(solid.low, solid.high, (24, 3)), solid.distance)
    points = points[np.abs(solid.distance(points)) < 2e-4]
    normals = gradient(points, solid.distance)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for point, normal in zip(points, normals, strict=True):
        depth = np.arange(1.5e-3, WIDEST_PINCH, 5e-4)
        outside = np.flatnonzero(solid.distance(point - depth[:, None] * normal) > 0)
        if not len(outside):
            continue
        other = point - depth[outside[0]] * normal
        beyond = gradient(other[None], solid.distance)[0]
        if normal @ beyond < -0.9 * np.linalg.norm(beyond):
            return point, other
    return None


def _turned_onto(
    own: Float[np.ndarray, "3"], line: Float[np.ndarray, "3"], rng: np.random.Generator
) -> Float[np.ndarray, "3 3"]:
    """Some rotation that takes one unit vector near another."""

    def frame(axis: np.ndarray) -> np.ndarray:
        side = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
        side /= np.linalg.norm(side)
        return np.stack([side, np.cross(axis, side), axis], axis=1)

    tilt = Rotation.from_rotvec(rng.normal(0, 0.1, 3)) * Rotation.from_rotvec(rng.uniform(0, 2 * np.pi) * line)
    return tilt.as_matrix() @ frame(line) @ frame(own).T


def _opened(rng: np.random.Generator) -> Float[np.ndarray, "12 15 3"]:
    """Hands with the thumb across from the fingers, from wide open to nearly closed."""
    share = np.linspace(0.0, 1.0, 12)[:, None, None]
    bend, thumb = rng.uniform([35, 25, 10], [65, 50, 30]), rng.uniform([25, 0], [43, 20])
    wide = all_fingers((0.1 * bend[0], 0.4 * bend[1], 0.4 * bend[2], 0.0), thumb=(-15.0, 0.0, 0.0, *thumb))
    near = all_fingers((*bend, 0.0), thumb=(5.0, 10.0, 10.0, *thumb))
    return np.radians((1 - share) * wide + share * near)
