"""Solids as functions that are negative inside, and the meshes of their surfaces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from skimage.measure import marching_cubes

OFF_PLANES = 2.37
"""Cells before the first one that is needed; with a whole number, flat sides would fall on grid points."""

SLOPE_STEP = 1e-6
"""Meters over which differences are taken."""

Distance = Callable[[Float[np.ndarray, "N 3"]], Float[np.ndarray, "N"]]
"""Negative inside; its zeros are the surface, its values need not be distances."""


def surface_mesh(
    shape: Distance, low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], cell: float
) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """Closed mesh of a surface, counter-clockwise seen from outside.

    Args:
        shape: The solid.
        low: Corner of a box round it, meters.
        high: The opposite corner.
        cell: Edge of the cells in which the surface is found, meters.
    """
    counts = np.ceil((high - low) / cell).astype(int) + 5
    axes = [low[k] + (np.arange(counts[k]) - OFF_PLANES) * cell for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values = shape(grid).reshape(counts)
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(cell,) * 3, gradient_direction="descent")
    return onto_surface(vertices.astype(float) + [axis[0] for axis in axes], shape), faces.astype(np.int64)


def onto_surface(points: Float[np.ndarray, "N 3"], shape: Distance) -> Float[np.ndarray, "N 3"]:
    """Points near a surface, moved onto it along the gradient."""
    for _ in range(3):
        value, slope = shape(points), gradient(points, shape)
        points = points - (value / np.maximum((slope**2).sum(1), 1e-12))[:, None] * slope
    return points


def gradient(points: Float[np.ndarray, "N 3"], shape: Distance) -> Float[np.ndarray, "N 3"]:
    """Gradient by central differences."""
    steps = SLOPE_STEP * np.eye(3)
    return np.stack([(shape(points + step) - shape(points - step)) / (2 * SLOPE_STEP) for step in steps], axis=1)


def rounded(outside: Float[np.ndarray, "N K"], radius: float) -> Float[np.ndarray, "N"]:
    """Distance to a rounded corner from the distances to the planes that make it, already lowered by the radius."""
    return np.linalg.norm(np.maximum(outside, 0), axis=1) + np.minimum(outside.max(1), 0) - radius


def smooth_maximum(a: Float[np.ndarray, "N"], b: Float[np.ndarray, "N"], width: float) -> Float[np.ndarray, "N"]:
    """Quilez's polynomial smooth maximum: rounds the edge over `width`."""
    blend = np.maximum(width - np.abs(a - b), 0) / width
    return np.maximum(a, b) + 0.25 * width * blend**2
