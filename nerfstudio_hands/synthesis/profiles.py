"""Shapes of steps and lines, for everything that fades in and out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def smoothstep(low: float, high: float, x: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """0 below `low`, 1 above `high`, smooth between; the other way round where `low` is above `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: Float[np.ndarray, "N"], width: float) -> Float[np.ndarray, "N"]:
    """A Gaussian of height 1."""
    return np.exp(-((x / width) ** 2))
