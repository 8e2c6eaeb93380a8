"""The mean pose of the training's hands: what a network has to be better than."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Hands = Float[np.ndarray, "N 21 3"]


def mean_pose(joints: Hands) -> Float[np.ndarray, "21 3"]:
    """Mean of hands about their middles, each turned (or mirrored) onto the first as well as it goes; meters."""
    joints = joints - joints.mean(1, keepdims=True)
    return (joints @ _turns(joints, joints[0])).mean(0)


def turned_onto(mean: Float[np.ndarray, "21 3"], truth: Hands) -> Hands:
    """A pose turned (or mirrored) and moved onto true joints, meters; its size stays."""
    middles = truth.mean(1, keepdims=True)
    return mean @ _turns(np.broadcast_to(mean, truth.shape), truth - middles) + middles


def _turns(points: Hands, onto: np.ndarray) -> Float[np.ndarray, "N 3 3"]:
    """Orthogonal matrices that bring rows of points nearest to others (Schoenemann, 1966)."""
    left, _, right = np.linalg.svd(points.transpose(0, 2, 1) @ onto)
    return left @ right
