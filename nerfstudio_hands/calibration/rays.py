"""Rays of landmarks of several cameras: how near they come to each other, and the points where they do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.calibration.lens import normalized_points
from nerfstudio_hands.calibration.record import CalibratedCamera

MIN_SHARED = 8
"""Landmarks that two cameras must both see, to be compared."""

MAX_SHARED = 300
"""Landmarks by which two cameras are compared; more do not move a median."""

ROUNDS = 6
"""Rounds of reweighting of points."""

BEHIND = 1e3
"""Error, in focal lengths, of rays that come nearest behind a camera."""


def camera_rays(camera: CalibratedCamera, pixels: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N 3"]:
    """Directions of unit length, in camera axes, of pixels of a picture as the lens made it; NaN where absent."""
    flat = normalized_points(pixels, camera.intrinsics, camera.lens)
    rays = np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def pair_errors(
    rays: Float[np.ndarray, "C N 3"], world_to_camera: Float[np.ndarray, "C 4 4"]
) -> Float[np.ndarray, "C C"]:
    """Median angle by which rays of two cameras miss each other, as seen from them, in radians; NaN without enough.

    Args:
        rays: Of unit length, in camera axes; NaN where absent.
        world_to_camera: Transforms in any unit.
    """
    errors = np.full((len(rays), len(rays)), np.nan)
    for i, j in combinations(range(len(rays)), 2):
        shared = np.flatnonzero(np.isfinite(rays[i]).all(-1) & np.isfinite(rays[j]).all(-1))
        if len(shared) < MIN_SHARED:
            continue
        chosen = shared[:: max(1, len(shared) // MAX_SHARED)]
        relative = world_to_camera[i] @ _inverse(world_to_camera[j])
        errors[i, j] = errors[j, i] = np.median(_misses(rays[i, chosen], rays[j, chosen], relative))
    return errors


def _misses(
    first: Float[np.ndarray, "N 3"], second: Float[np.ndarray, "N 3"], relative: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, " N"]:
    """Half the gap between rays where they come nearest, over the mean distance there."""
    second, center = second @ relative[:3, :3].T, relative[:3, 3]
    cosine = (first * second).sum(-1)
    along = np.stack([first @ center, second @ center], axis=-1)
    sine = np.maximum(1 - cosine**2, 1e-12)
    depths = np.stack([along[:, 0] - cosine * along[:, 1], cosine * along[:, 0] - along[:, 1]], axis=-1) / sine[:, None]
    gap = np.linalg.norm(depths[:, :1] * first - center - depths[:, 1:] * second, axis=-1)
    in_front = (depths > 0).all(axis=-1)
    return np.where(in_front, gap / 2 / np.maximum(depths.mean(axis=-1), 1e-12), BEHIND)


def _inverse(transform: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    inverse = np.eye(4)
    inverse[:3, :3] = transform[:3, :3].T
    inverse[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return inverse


def meeting_points(
    rays: Float[np.ndarray, "C N 3"], world_to_camera: Float[np.ndarray, "C 4 4"], *, scatter: float = 0.01
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "C N"]]:
    """Points nearest to the rays of all cameras, by least squares with Geman-McClure weights on angles.

    Args:
        rays: Of unit length, in camera axes; NaN where absent.
        world_to_camera: Transforms in any unit.
        scatter: Angle in radians beyond which a ray counts for little.

    Returns:
        Points in the world, NaN where fewer than two rays lead; and the angle of each ray to its point, radians, NaN
        where either is absent.
    """
    present = np.asarray(np.isfinite(rays).all(axis=-1))
    rotations = world_to_camera[:, :3, :3]
    centers = -np.einsum("cji,cj->ci", rotations, world_to_camera[:, :3, 3])
    world = np.einsum("cji,cnj->cni", rotations, np.where(present[..., None], rays, 0.0))
    across = np.eye(3) - world[..., :, None] * world[..., None, :]
    weights = present.astype(np.float64)
    enough = np.asarray(present.sum(axis=0) >= 2)
    for _ in range(ROUNDS):
        points = _nearest(centers, across, weights, enough)
        angles, depths = _angles(points, centers, world, present)
        angles = np.where(depths > 0, angles, np.pi)
        # A point is nearer to a near camera by the same angle: distances are weighed by it.
        nearness = 1 / np.maximum(depths, 1e-9) ** 2
        weights = np.asarray(np.where(present & enough, nearness / (1 + (angles / scatter) ** 2) ** 2, 0.0))
    points = _nearest(centers, across, weights, enough)
    angles, depths = _angles(points, centers, world, present)
    return points, np.where(present & enough, np.where(depths > 0, angles, np.pi), np.nan)


def _nearest(
    centers: Float[np.ndarray, "C 3"],
    across: Float[np.ndarray, "C N 3 3"],
    weights: Float[np.ndarray, "C N"],
    enough: Bool[np.ndarray, " N"],
) -> Float[np.ndarray, "N 3"]:
    weights = weights / np.maximum(weights.sum(axis=0), 1e-300)
    weighed = across * weights[..., None, None]
    left = weighed.sum(axis=0) + 1e-12 * np.eye(3)
    right = np.einsum("cnij,cj->ni", weighed, centers)
    return np.where(enough[:, None], np.linalg.solve(left, right[..., None])[..., 0], np.nan)


def _angles(
    points: Float[np.ndarray, "N 3"],
    centers: Float[np.ndarray, "C 3"],
    world: Float[np.ndarray, "C N 3"],
    present: Bool[np.ndarray, "C N"],
) -> tuple[Float[np.ndarray, "C N"], Float[np.ndarray, "C N"]]:
    """Angle of each ray to its point, and how far the point lies along it."""
    to_points = np.nan_to_num(points) - centers[:, None]
    depths = (to_points * world).sum(axis=-1)
    gaps = np.linalg.norm(to_points - depths[..., None] * world, axis=-1)
    return np.where(present, np.arctan2(gaps, depths), 0.0), depths


def stacked_rays(
    cameras: Sequence[CalibratedCamera], landmarks: Float[np.ndarray, "T C 2 21 2"]
) -> Float[np.ndarray, "C N 3"]:
    """Rays of the landmarks of every camera, all frames, sides and joints in a row."""
    return np.stack([camera_rays(camera, landmarks[:, c]).reshape(-1, 3) for c, camera in enumerate(cameras)])
