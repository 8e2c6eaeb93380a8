"""2D joints as a detector would have found them: near the truth, and in one camera on the wrong spot."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

PIXEL_NOISE = 1.5 / 256
"""Standard deviation of a detected joint, in widths of the picture."""


def imperfect_detections(
    keypoints: Float[np.ndarray, "C 21 2"], size: int, rng: np.random.Generator
) -> Float[np.ndarray, "C 21 2"]:
    """Detected joints of one hand in all cameras.

    Every joint is off by a little and every hand as a whole by half as much, because errors of detectors are
    correlated; in one camera (not the first) the detector saw a hand where none is.

    Args:
        keypoints: True projections, pixels.
        size: Width of the pictures, pixels.
        rng: Draws the errors.

    Returns:
        Pixels.
    """
    noise = PIXEL_NOISE * size
    found = keypoints + rng.normal(0, noise, keypoints.shape)
    found += rng.normal(0, 0.5 * noise, (len(keypoints), 1, 2))
    if len(keypoints) > 3:
        camera = int(rng.integers(1, len(keypoints)))
        middle = found[camera].mean(0)
        angle = rng.uniform(0.6, 1.2) * np.pi
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = 0.22 * size * np.array([np.cos(angle), np.sin(angle)])
        found[camera] = 0.6 * (found[camera] - middle) @ rotation.T + middle + shift
    return found


def normalized_landmarks(pixels: Float[np.ndarray, "21 2"], size: int) -> list[float]:
    """63 numbers x, y, z as capture-room files have them: x and y in [-1, 1] across the picture, z without use."""
    landmarks = np.concatenate([pixels / size * 2 - 1, np.zeros((21, 1))], axis=1)
    return [round(float(value), 6) for value in landmarks.ravel()]
