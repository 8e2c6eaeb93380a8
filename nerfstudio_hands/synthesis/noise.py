"""Procedural noise in space: the same numbers for the same seed, whatever the order or number of the points."""

from __future__ import annotations

from itertools import product

import numpy as np
from jaxtyping import Float, UInt32

OCTAVE_SHIFT = np.array([17.31, -9.73, 5.19], dtype=np.float32)
"""Offset between octaves, so that their lattices, and with them the zeros of the noise, do not coincide."""


def gradient_noise(points: Float[np.ndarray, "N 3"], seed: int) -> Float[np.ndarray, "N"]:
    """Perlin's improved gradient noise (Perlin, "Improving noise", SIGGRAPH 2002) on a hashed lattice of unit spacing.

    Args:
        points: Positions in lattice units.
        seed: Another seed gives an independent field.

    Returns:
        Smooth values of mean zero, within about [-1, 1], zero at the lattice points.
    """
    points = np.asarray(points, dtype=np.float32)
    cell = np.floor(points)
    inside = points - cell
    fade = inside**3 * (inside * (inside * 6 - 15) + 10)
    cell = cell.astype(np.int32)
    total = np.zeros(len(points), dtype=np.float32)
    for corner in product((0, 1), repeat=3):
        hashed = _hash(cell, corner, seed)
        offset = inside - np.array(corner, dtype=np.float32)
        # Three bytes of the hash are the gradient's components in [-1, 1].
        slope = np.zeros_like(total)
        weight = np.ones_like(total)
        for axis in range(3):
            component = ((hashed >> np.uint32(8 * axis)) & np.uint32(255)).astype(np.float32) / 127.5 - 1
            slope += component * offset[:, axis]
            weight *= fade[:, axis] if corner[axis] else 1 - fade[:, axis]
        total += weight * slope
    return total


def fractal_noise(points: Float[np.ndarray, "N 3"], seed: int, *, octaves: int) -> Float[np.ndarray, "N"]:
    """Sum of gradient noise over octaves, each twice as fine and half as strong; standard deviation about 0.3."""
    points = np.asarray(points, dtype=np.float32)
    total = np.zeros(len(points), dtype=np.float32)
    for octave in range(octaves):
        total += 0.5**octave * gradient_noise(points * 2.0**octave + octave * OCTAVE_SHIFT, seed + octave)
    return total


def cell_borders(points: Float[np.ndarray, "N 3"], seed: int) -> Float[np.ndarray, "N"]:
    """Distance to the second nearest minus the nearest of scattered points, one a lattice cell (Worley, SIGGRAPH 1996).

    Args:
        points: Positions in lattice units.
        seed: Another seed gives an independent field.

    Returns:
        Zero on the borders between cells, growing inwards to about 0.6.
    """
    points = np.asarray(points, dtype=np.float32)
    cell = np.floor(points)
    inside = points - cell
    cell = cell.astype(np.int32)
    nearest = np.full(len(points), 9.0, dtype=np.float32)
    second = nearest.copy()
    for corner in product((-1, 0, 1), repeat=3):
        hashed = _hash(cell, corner, seed)
        square = np.zeros_like(nearest)
        for axis in range(3):
            place = ((hashed >> np.uint32(8 * axis)) & np.uint32(255)).astype(np.float32) / 255
            square += (place + corner[axis] - inside[:, axis]) ** 2
        second = np.minimum(second, np.maximum(nearest, square))
        nearest = np.minimum(nearest, square)
    return np.sqrt(second) - np.sqrt(nearest)


def _hash(cell: np.ndarray, corner: tuple[int, ...], seed: int) -> UInt32[np.ndarray, "N"]:
    """Mix lattice coordinates and seed (multiply and shift, the finalizer of MurmurHash3)."""
    mixed = np.full(len(cell), seed & 0xFFFFFFFF, dtype=np.uint32)
    for axis, prime in enumerate((0x8DA6B343, 0xD8163841, 0xCB1AB31F)):
        mixed = mixed * np.uint32(31) + (cell[:, axis] + np.int32(corner[axis])).view(np.uint32) * np.uint32(prime)
    mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> np.uint32(16))
