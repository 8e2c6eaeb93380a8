"""Where the camera is, and which square of its picture is kept."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FILL = (0.45, 0.85)
"""Share of the picture's side that the longer side of the hand's box takes."""

ROOM, MARGIN = (1.75, 2.1), (1.02, 1.2)
"""Side of a picture of a hand that holds something, relative to the longer side of the hand's box, and at least
relative to that of the box round both."""

WIDEST = 3.0
"""Side of such a picture, at most."""

DISTANCES = (0.18, 0.45, 1.6)
"""Meters from the camera to the hand: nearest, middle, farthest."""

HALF_VIEWS = (0.62, 0.5, 0.3, 0.12, 0.0)
"""Tangents of half the angle of view of phones, webcams, reflex cameras, long lenses; and crops warped to be centered,
as FreiHAND's are."""


def drawn_place(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Where the hand's middle is in the camera's frame (OpenCV axes), meters."""
    nearest, middle, farthest = DISTANCES
    distance = np.clip(middle * np.exp(rng.normal(0, 0.5)), nearest, farthest)
    off_axis = rng.choice(HALF_VIEWS) * rng.uniform(-0.8, 0.8, 2)
    return distance * np.array([*off_axis, 1.0])


def crop_intrinsics(
    vertices: Float[np.ndarray, "V 3"], size: int, rng: np.random.Generator
) -> Float[np.ndarray, "3 3"]:
    """K of a square picture around a hand, about `FILL` filled by it and not quite centered on it.

    Args:
        vertices: Of the hand, in front of the camera, meters.
        size: Pixels of a side.
        rng: Draws size and place.
    """
    seen = vertices[:, :2] / vertices[:, 2:]
    low, high = seen.min(0), seen.max(0)
    fill = rng.uniform(*FILL)
    side = (high - low).max() / fill
    middle = (low + high) / 2 + rng.uniform(-0.5, 0.5, 2) * (1 - fill) * side
    focal = size / side
    corner = middle - side / 2
    return np.array([[focal, 0, -focal * corner[0]], [0, focal, -focal * corner[1]], [0, 0, 1]])


def roomy_intrinsics(
    hand: Float[np.ndarray, "V 3"], held: Float[np.ndarray, "N 3"], size: int, rng: np.random.Generator
) -> Float[np.ndarray, "3 3"]:
    """K of a square picture about `ROOM` times as wide as a hand, wider, up to `WIDEST`, where what it holds would
    leave it.

    Args:
        hand: Points of the hand, in front of the camera, meters.
        held: Points of what it holds.
        size: Pixels of a side.
        rng: Draws size and place.
    """
    seen, other = (np.clip(part[:, :2] / np.maximum(part[:, 2:], 0.03), -3, 3) for part in (hand, held))
    low, high = seen.min(0), seen.max(0)
    lowest, highest = np.minimum(low, other.min(0)), np.maximum(high, other.max(0))
    longer = (high - low).max()
    side = max(rng.uniform(*ROOM) * longer, rng.uniform(*MARGIN) * (highest - lowest).max())
    side = min(side, WIDEST * longer)
    middle = (low + high) / 2 + rng.uniform(-0.08, 0.08, 2) * side
    # The thing stays in the picture where it has room, the hand always.
    for first, last in ((lowest, highest), (low, high)):
        if (last - first).max() <= side:
            middle = np.clip(middle, last - side / 2, first + side / 2)
    focal, corner = size / side, middle - side / 2
    return np.array([[focal, 0, -focal * corner[0]], [0, focal, -focal * corner[1]], [0, 0, 1]])
