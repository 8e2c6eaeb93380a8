"""How hands are bent and how they are held before a camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from nerfstudio_hands.estimators.pose_samples import GESTURES, HELD_OUT_GESTURES, gesture_angles, random_angles
from nerfstudio_hands.hand_model.joint_limits import joint_axes, joint_limits
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.synthesis.motion_takes import GRIPS, HANDSHAPES, KINDS, Person, perform
from nerfstudio_hands.synthesis.quick.people import body_plan

POOL = {"gestures": 6000, "random": 2000, "signs": 3000, "grips": 3000, "takes": 6000}
"""Poses of each kind that pictures are drawn of, each time a little different."""

TAKE_FRAMES = 300
"""Poses of a take, four a second."""

RANDOM_SHARE = (0.15, 0.75)
"""Share of the way from rest to angles drawn evenly between the limits: nearer to these no hand ever is."""

TREMOR_DEGREES = np.array([3.5, 2.0, 1.0])
"""Standard deviations of what a picture's angles differ from those of the pool: flexion, spread, twist."""


@dataclass(frozen=True)
class Held:
    """How hands are held before a camera: directions of fingers and back as those who do it would name them."""

    fingers: tuple[float, float, float]
    """Mean direction of the fingers in the camera's frame (x right, y down, z away)."""
    roll: float
    """Standard deviation of turns in the picture's plane, degrees."""
    tilt: float
    """Standard deviation of turns towards the camera and away, degrees."""
    spin: float
    """Standard deviation of turns about the forearm from showing the back, degrees; 180 and more is any."""
    palm: float
    """Share of hands that show the palm rather than the back."""


WAYS: tuple[tuple[float, Held], ...] = (
    (0.30, Held((0.0, -1.0, 0.0), roll=30, tilt=22, spin=50, palm=0.6)),  # sign language, selfies, waving
    (0.20, Held((0.0, -0.75, 0.65), roll=40, tilt=22, spin=60, palm=0.2)),  # one's own hands
    (0.20, Held((0.0, -1.0, 0.1), roll=400, tilt=22, spin=50, palm=0.15)),  # on a table, from any side
    (0.10, Held((0.0, 0.5, -0.8), roll=60, tilt=30, spin=70, palm=0.4)),  # pointing or reaching to the camera
    (0.20, Held((0.0, -1.0, 0.0), roll=400, tilt=60, spin=400, palm=0.5)),  # any
)


MOST_AWAY = 0.8
"""Cosine between fingers and the camera's view up to which the forearm does not hide the hand."""


@lru_cache(maxsize=8)
def pose_pool(source: str, seed: int) -> Float32[np.ndarray, "P 15 3"]:
    """Flexion, spread and twist of many hands of a model (see `body_plan`), radians, read-only; see `joint_limits`."""
    model = body_plan(source).model
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng([seed, 41])
    share = torch.empty(POOL["random"], 1, 1).uniform_(*RANDOM_SHARE, generator=generator)
    parts = [
        gesture_angles(model, (*GESTURES, *HELD_OUT_GESTURES), POOL["gestures"], generator),
        share * random_angles(model, POOL["random"], generator),
        gesture_angles(model, HANDSHAPES, POOL["signs"], generator),
        gesture_angles(model, GRIPS, POOL["grips"], generator),
        _of_takes(model, POOL["takes"], rng),
    ]
    pool = torch.cat(parts).float().numpy()
    pool.setflags(write=False)
    return pool


def _of_takes(model: HandModel, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Poses on the way from one thing that people do to the next."""
    times = np.arange(TAKE_FRAMES) / 4.0
    axes = joint_axes(model)
    kinds = [list(KINDS)[k % len(KINDS)] for k in range(count // TAKE_FRAMES)]
    takes = [perform(kind, Person.draw(rng), rng, times).local_rotations for kind in kinds]
    return torch.einsum("njc,jac->nja", torch.cat(takes), axes.to(takes[0]))


def drawn_pose(
    source: str, pool: Float32[np.ndarray, "P 15 3"], rng: np.random.Generator
) -> Float32[np.ndarray, "15 3"]:
    """Local rotations (axis-angle) of a hand."""
    axes, low, high = _limits(source)
    angles = pool[rng.integers(len(pool))] + np.radians(TREMOR_DEGREES) * rng.standard_normal((15, 3))
    angles = np.clip(angles, low, high)
    return np.einsum("ja,jac->jc", angles, axes).astype(np.float32)


@lru_cache(maxsize=4)
def _limits(source: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    model = body_plan(source).model
    low, high = joint_limits(model).unbind(-1)
    return joint_axes(model).numpy(), low.numpy(), high.numpy()


def drawn_orientation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Rotation of a right hand from the rest frame to the camera's; none points straight away behind its own arm."""
    while True:
        rotation = _some_orientation(rng)
        if -rotation[2, 0] < MOST_AWAY:
            return rotation


def _some_orientation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    way = WAYS[rng.choice(len(WAYS), p=[share for share, _ in WAYS])][1]
    fingers = np.array(way.fingers) / np.linalg.norm(way.fingers)
    toward_palm = 180.0 if rng.random() < way.palm else 0.0
    # The rest frame has x from the fingers to the wrist and y out of the back; the back begins towards the camera.
    back = np.array([0.0, 0.0, -1.0]) - fingers * -fingers[2]
    back /= np.linalg.norm(back)
    start = np.stack([-fingers, back, np.cross(-fingers, back)], axis=1)
    spin = Rotation.from_rotvec(np.radians(toward_palm + rng.normal(0, way.spin)) * fingers)
    tilt = Rotation.from_euler("x", rng.normal(0, way.tilt), degrees=True)
    roll = Rotation.from_euler("z", rng.normal(0, way.roll), degrees=True)
    return (roll * tilt * spin).as_matrix() @ start
