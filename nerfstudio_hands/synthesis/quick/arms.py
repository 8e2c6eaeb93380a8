"""What comes behind a hand: a forearm that need not go straight on, bare or in a sleeve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from nerfstudio_hands.synthesis.body import forearm, tube_faces
from nerfstudio_hands.synthesis.profiles import smoothstep

BEND_REACH = 0.045
"""Meters behind the wrist over which it bends."""

BEND_DEGREES = (28.0, 11.0)
"""Standard deviations of flexion and of the turn to the thumb's or the little finger's side."""

MOST_BEND = np.array([65.0, 25.0])
"""Degrees."""

ARM_END = 0.42
"""Meters behind the wrist; leaves nearly every picture."""

BARE_FROM = 0.08
"""Meters behind the wrist at which a bare arm goes on from the forearm of the fine mesh."""

NUM_RINGS = 14


@dataclass(frozen=True)
class Arm:
    """How an arm goes on, in the hand's frame at rest."""

    bend: Float[np.ndarray, "2"]
    """Degrees of flexion and of the turn to the side."""
    sleeve_from: float | None
    """Meters behind the wrist at which a sleeve begins; None for a bare arm."""
    width: float
    """Of the sleeve, relative to the arm."""
    flare: float
    """By how much the sleeve widens to its end."""


def drawn_arm(rng: np.random.Generator) -> Arm:
    """Some arm; half of them in a sleeve."""
    bend = np.clip(rng.normal(0, BEND_DEGREES), -MOST_BEND, MOST_BEND)
    sleeve_from = float(rng.choice([rng.uniform(0.0, 0.03), rng.uniform(0.03, 0.075)])) if rng.random() < 0.55 else None
    return Arm(bend, sleeve_from, rng.uniform(1.08, 1.35), rng.uniform(0.0, 0.8))


def forearm_rings(arm: Arm, rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]) -> Float[np.ndarray, "R 3"]:
    """The rings of the fine mesh's forearm (`body.forearm`), bent; meters in the rest frame."""
    return _bent(arm, forearm(rest, wrist), rest[wrist].mean(0))


def arm_tube(
    arm: Arm, rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]
) -> tuple[Float[np.ndarray, "T 3"], Int[np.ndarray, "M 3"], Float[np.ndarray, "T"]]:
    """What goes on behind: vertices in the rest frame, faces, and meters of each behind the wrist."""
    center = rest[wrist].mean(0)
    across = (rest[wrist] - center) * [0.0, 1.0, 1.0]
    start = BARE_FROM if arm.sleeve_from is None else arm.sleeve_from
    far = np.concatenate([[0.0, 0.004, 0.012], np.geomspace(0.03, ARM_END - start, NUM_RINGS - 3)]) + start
    width = 1 + 0.26 * (np.minimum(far, 0.2) / 0.09) ** 1.4
    if arm.sleeve_from is not None:
        length = np.linalg.norm(across, axis=1, keepdims=True)
        across = 0.7 * across + 0.3 * (across / length * length.mean())
        width = arm.width * width * (1 + arm.flare * (far - start) / ARM_END)
    rings = center + width[:, None, None] * across + far[:, None, None] * [1.0, 0.0, 0.0]
    faces = tube_faces(list(np.arange(rings.shape[0] * rings.shape[1]).reshape(rings.shape[:2])))
    return _bent(arm, rings.reshape(-1, 3), center), faces, far.repeat(rings.shape[1])


def _bent(arm: Arm, points: Float[np.ndarray, "N 3"], center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "N 3"]:
    """Points behind the wrist turned about its middle, the farther behind the more."""
    offset = points - center
    share = smoothstep(-0.005, BEND_REACH, offset[:, 0])
    turn = Rotation.from_rotvec(np.radians(share)[:, None] * [0.0, arm.bend[1], arm.bend[0]])
    return center + turn.apply(offset)
