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

MUG_WALL = 4e-3
"""Meters."""

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


def tube(points: Float[np.ndarray, "N 3"], radius: float, half: float, edge: float) -> Float[np.ndarray, "N"]:
    """Distance to a cylinder about the axis with rounded edges."""
    around = np.linalg.norm(points[:, :2], axis=1)
    return rounded(np.stack([around - radius, np.abs(points[:, 2]) - half], axis=1) + edge, edge)


def smooth_minimum(a: Float[np.ndarray, "N"], b: Float[np.ndarray, "N"], width: float) -> Float[np.ndarray, "N"]:
    """Union with a fillet."""
    return -smooth_maximum(-a, -b, width)


def mug(
    points: Float[np.ndarray, "N 3"],
    radius: float,
    half: float,
    handle: tuple[float, float],
    *,
    edge: float,
    lip: float,
    wide: float,
    off: float = 0.0,
) -> Float[np.ndarray, "N"]:
    """A cup about the axis, open upwards, with a ring for a handle in the plane of x and z.

    Args:
        points: Meters.
        radius: Of the cup.
        half: Half its height.
        handle: Radii of the ring and of its section; it is 1.15 times as high as it is long.
        edge: Rounding of edges.
        lip: Width over which that of the opening is rounded.
        wide: Length of the ring over its radius.
        off: From the cup's side to the ring's middle.
    """
    hollow = tube(points - [0, 0, 2 * MUG_WALL], radius - MUG_WALL, half, edge)
    cup = smooth_maximum(tube(points, radius, half, edge), -hollow, lip)
    x, z = (points[:, 0] - radius - off) / wide, points[:, 2] / 1.15
    ring = np.hypot(np.hypot(x, z) - handle[0], points[:, 1]) - handle[1]
    outside = np.maximum(ring, radius - 0.5 * MUG_WALL - np.linalg.norm(points[:, :2], axis=1))
    return smooth_minimum(cup, outside, 2e-3)


def superquadric(
    points: Float[np.ndarray, "N 3"], half: Float[np.ndarray, "3"], across: float, along: float
) -> Float[np.ndarray, "N"]:
    """Barr, "Superquadrics and angle-preserving transformations", IEEE CGA 1981; made to grow like a distance.

    Args:
        points: Meters.
        half: Half sizes.
        across: Exponent in the plane of x and y: 2 is an ellipse, more is nearer to a box.
        along: The same between that plane and the axis.
    """
    x, y, z = (np.abs(points) / half).T
    around = (x**across + y**across) ** (1 / across)
    return ((around**along + z**along) ** (1 / along) - 1) * np.min(half)
