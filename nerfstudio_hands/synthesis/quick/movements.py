"""How a hand moves while it is filmed: slow swings about where it began, and fingers that breathe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model.joint_limits import FLEXION

TURN_DEGREES, SHIFT = 14.0, 0.022
"""Amplitude (standard deviation) of each swing about an axis and along it; meters."""

PERIODS = (16.0, 60.0)
"""Pictures that a swing takes."""

BREATH_DEGREES = 3.0
"""By which a finger's first joints open at most, standard deviation; the others with them."""

SWINGS = 2


@dataclass(frozen=True)
class Movement:
    """Swings of the wrist's turns about three axes, its place along three, and the five fingers."""

    amplitude: Float[np.ndarray, "S 11"]
    phase: Float[np.ndarray, "S 11"]
    frequency: Float[np.ndarray, "S 11"]
    """Radians a picture."""

    def turn(self, frame: float) -> Float[np.ndarray, "3 3"]:
        """Rotation in the camera's frame since the first picture."""
        return Rotation.from_rotvec(self._swung(frame)[:3]).as_matrix()

    def shift(self, frame: float) -> Float[np.ndarray, "3"]:
        """Meters since the first picture."""
        return self._swung(frame)[3:6]

    def opened(self, angles: Float[np.ndarray, "15 3"], frame: float) -> Float[np.ndarray, "15 3"]:
        """Joint angles with fingers opened a little: none closes further than it was."""
        swing = self.amplitude * (1 - np.cos(self.frequency * frame))
        bend = np.abs(swing.sum(0)[6:])
        moved = angles.copy()
        moved[:, FLEXION] -= bend.repeat(3)
        return moved

    def _swung(self, frame: float) -> Float[np.ndarray, "11"]:
        """Zero at first."""
        return (self.amplitude * (np.sin(self.frequency * frame + self.phase) - np.sin(self.phase))).sum(0)


def drawn_movement(rng: np.random.Generator) -> Movement:
    """Some movement."""
    spread = np.repeat([np.radians(TURN_DEGREES), SHIFT, np.radians(0.35 * BREATH_DEGREES)], [3, 3, 5])
    amplitude = rng.normal(0, 1, (SWINGS, 11)) * spread / np.sqrt(SWINGS)
    phase = rng.uniform(0, 2 * np.pi, (SWINGS, 11))
    return Movement(amplitude, phase, 2 * np.pi / rng.uniform(*PERIODS, (SWINGS, 11)))
