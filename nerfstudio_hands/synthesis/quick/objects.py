"""Things in hands and before them: cheap shapes with some pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.synthesis.noise import fractal_noise

AROUND, ALONG = 28, 22
"""Vertices of a shape around its axis and along it."""

FINGER_RADIUS = 0.007
"""Meters from the middle line of a finger to its pad, about."""

LARGEST = 0.045
"""Meters from the middle of a hand to the thing's surface, at most."""

TRAINING_SHAPES = ("ball", "can", "box", "card", "pen", "bottle")
TEST_SHAPES = ("egg", "cone", "block", "ring")
"""What is held in pictures to learn from, and in others: different things."""


@dataclass(frozen=True)
class Object3D:
    """A thing in the camera's frame, meters."""

    vertices: Float32[np.ndarray, "N 3"]
    faces: Int32[np.ndarray, "M 3"]
    albedo: Float32[np.ndarray, "N 3"]
    gloss: Float32[np.ndarray, "N 2"]


def held_object(joints: Float[np.ndarray, "21 3"], names: tuple[str, ...], rng: np.random.Generator) -> Object3D | None:
    """Something that a hand might hold: in the middle of palm, fingers and thumb, as large as there is room.

    Args:
        joints: Of the hand, in the camera's frame, meters.
        names: Shapes to choose from.
        rng: Draws it.

    Returns:
        None where a hand encloses no room.
    """
    around = joints[[5, 9, 13, 17, 6, 10, 14, 18, 7, 11, 15, 19, 3, 4]]
    middle = around.mean(0) + rng.normal(0, 0.004, 3)
    room = _distance_to_bones(middle, joints).min() - FINGER_RADIUS
    if room < 0.004:
        return None
    knuckles = joints[17] - joints[5]
    axis = knuckles / np.linalg.norm(knuckles) + rng.normal(0, 0.25, 3)
    name = names[rng.integers(len(names))]
    half = np.array([1.0, 1.0, rng.uniform(1.0, 3.5)]) * min(room * rng.uniform(0.9, 1.5), LARGEST)
    return _object(name, half, _turn_to(axis, rng), middle, rng)


def object_before(joints: Float[np.ndarray, "21 3"], names: tuple[str, ...], rng: np.random.Generator) -> Object3D:
    """Something between camera and hand that hides a part of it; arguments as of `held_object`."""
    reach = float(np.linalg.norm(joints - joints.mean(0), axis=1).max())
    target = joints[rng.integers(21)] + rng.normal(0, 0.3, 3) * reach
    place = target * rng.uniform(0.6, 0.93)
    half = reach * rng.uniform(0.12, 0.35) * np.array([1.0, rng.uniform(0.5, 1.0), rng.uniform(0.7, 3.0)])
    return _object(names[rng.integers(len(names))], half, Rotation.random(rng=rng).as_matrix(), place, rng)


def _distance_to_bones(point: Float[np.ndarray, "3"], joints: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "20"]:
    starts, ends = joints[list(JOINT_PARENTS[1:])], joints[1:]
    vectors = ends - starts
    share = np.clip(((point - starts) * vectors).sum(1) / (vectors**2).sum(1), 0, 1)
    return np.linalg.norm(starts + share[:, None] * vectors - point, axis=1)


def _turn_to(axis: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A frame with this third axis."""
    third = axis / np.linalg.norm(axis)
    first = np.cross(third, rng.standard_normal(3))
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third], axis=1)


def _object(name: str, half: np.ndarray, turn: np.ndarray, middle: np.ndarray, rng: np.random.Generator) -> Object3D:
    unit, faces = _shape(name)
    if name in ("card", "ring"):
        half = half * [1.0, 0.12, 1.0]
    if name == "pen":
        half = np.array([0.005, 0.005, 0.07]) * rng.uniform(0.8, 1.3)
    own = unit * half
    return painted_thing(own, faces, own @ turn.T + middle, unit, rng)


def painted_thing(
    own: Float[np.ndarray, "N 3"],
    faces: Int32[np.ndarray, "M 3"],
    placed: Float[np.ndarray, "N 3"],
    unit: Float[np.ndarray, "N 3"],
    rng: np.random.Generator,
) -> Object3D:
    """A thing of some look, with vertices in its own frame, in the camera's, meters, and once more from -1 to 1."""
    albedo = _pattern(own, unit, rng)
    gloss = np.broadcast_to([rng.uniform(0.25, 0.8), rng.uniform(0.02, 0.06)], (len(own), 2))
    return Object3D(placed.astype(np.float32), faces, albedo, gloss.astype(np.float32))


def _shape(name: str) -> tuple[np.ndarray, Int32[np.ndarray, "M 3"]]:
    """Vertices within the cube [-1, 1]^3, and faces, counter-clockwise from outside."""
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[None]
    rise = np.linspace(-np.pi / 2, np.pi / 2, ALONG)[:, None]
    square = {"ball": 1.0, "egg": 1.0, "pen": 0.3, "can": 0.2, "bottle": 0.35, "cone": 0.2, "ring": 1.0}.get(name, 0.15)
    round_ = {"box": 0.15, "card": 0.15, "block": 0.5}.get(name, 1.0)
    width, height = _power(np.cos(rise), square), _power(np.sin(rise), square)
    if name == "bottle":
        width = width * (1 - 0.6 / (1 + np.exp(-14 * (height - 0.35))))
    if name in ("cone", "egg"):
        width = width * (1 - (0.75 if name == "cone" else 0.3) * (0.5 + 0.5 * height))
    if name == "ring":
        x, y = (0.72 + 0.28 * np.cos(2 * rise)) * np.cos(turn), 0.28 * np.sin(2 * rise) / 0.12 + 0 * turn
        z = (0.72 + 0.28 * np.cos(2 * rise)) * np.sin(turn)
        points = np.stack([x, y, z], axis=-1)
    else:
        x, y = width * _power(np.cos(turn), round_), width * _power(np.sin(turn), round_)
        points = np.stack([x, y, height + 0 * turn], axis=-1)
    index = np.arange(ALONG * AROUND).reshape(ALONG, AROUND)
    a, b = index[:-1], np.roll(index[:-1], -1, axis=1)
    c, d = index[1:], np.roll(index[1:], -1, axis=1)
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    # Along the tube of a ring the order of the two directions is the other one.
    return points.reshape(-1, 3), (faces[:, ::-1] if name == "ring" else faces).astype(np.int32)


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    """Superquadrics: Barr, "Superquadrics and angle-preserving transformations", IEEE CGA 1981."""
    return np.sign(values) * np.abs(values) ** exponent


def _pattern(own: np.ndarray, unit: np.ndarray, rng: np.random.Generator) -> Float32[np.ndarray, "N 3"]:
    """Albedo: plain, banded, or blotched."""
    colors = some_color(rng), some_color(rng)
    kind = rng.integers(3)
    if kind == 0:
        share = np.zeros(len(own))
    elif kind == 1:
        share = (np.sin(unit @ rng.normal(0, 4, 3) + rng.uniform(0, 6)) > rng.uniform(-0.6, 0.6)).astype(float)
    else:
        noise = fractal_noise(own / rng.uniform(0.01, 0.04), int(rng.integers(1 << 20)), octaves=2)
        share = np.clip(0.5 + 4 * noise, 0, 1)
    return (colors[0] + (colors[1] - colors[0]) * share[:, None]).astype(np.float32)


def some_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Linear RGB of something that people make: often grey, black or white, sometimes bright."""
    value = rng.beta(0.8, 1.2) * 0.8 + 0.02
    tint = rng.dirichlet([1.0, 1.0, 1.0]) * 3
    return np.clip(value * (1 + rng.beta(0.6, 1.0) * (tint - 1)), 0.01, 0.9)
