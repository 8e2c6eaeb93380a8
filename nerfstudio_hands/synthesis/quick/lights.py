"""Light for small pictures: some lamps or the sun, and what comes from all around."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.geometry.raster.vertex_images import DirectedLight

AMBIENT_DIRECTIONS = 13
"""Directions from which the light of the surroundings comes."""


def drawn_light(rng: np.random.Generator) -> DirectedLight:
    """Light from around, stronger on some side, and up to three lamps; a whole of irradiance about one."""
    around = _spread_directions(AMBIENT_DIRECTIONS, rng)
    bright, tint = _unit(rng.standard_normal(3) + [0, -0.8, 0]), _warmth(rng)
    contrast = rng.uniform(0.0, 0.9)
    radiance = (1 + contrast * (around @ bright))[:, None] * tint
    other = _unit(rng.standard_normal(3))
    radiance *= 1 + 0.5 * np.clip(around @ other, 0, 1)[:, None] * (rng.dirichlet([2, 2, 2]) * 3 - 1)
    # A hemisphere of radiance one is an irradiance of pi; a sum over directions needs the cosine's quarter.
    ambient = radiance * (4.0 / AMBIENT_DIRECTIONS)
    number = int(rng.choice([0, 1, 2, 3], p=[0.12, 0.48, 0.28, 0.12]))
    lamps = _unit(rng.standard_normal((number, 3)) + [0, -0.7, -0.35])
    strength = rng.dirichlet(np.ones(number)) if number else np.zeros(0)
    warmth = np.array([_warmth(rng) for _ in range(number)]).reshape(number, 3)
    power = (strength * rng.uniform(0.5, 2.5))[:, None] * warmth
    share = rng.uniform(0.35, 0.9)
    frames = _frames(np.concatenate([around, lamps]))
    softness = np.concatenate([np.full(AMBIENT_DIRECTIONS, 0.3), rng.uniform(0.0, 0.25, number)])
    together = np.concatenate([share * ambient, power])
    return DirectedLight(frames.astype(np.float32), together.astype(np.float32), softness.astype(np.float32))


def _warmth(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Color of light from candle to sky."""
    warm = rng.normal(0, 0.12)
    return np.array([1 + warm, 1 + rng.normal(0, 0.02), 1 - warm])


def _spread_directions(count: int, rng: np.random.Generator) -> Float[np.ndarray, "N 3"]:
    """Even over the sphere (Fibonacci's spiral), turned at random."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.arange(count) * 2.399963 + rng.uniform(0, 2 * np.pi)
    ring = np.sqrt(1 - height**2)
    points = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    basis, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return points @ basis


def _frames(directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3 3"]:
    helper = np.eye(3)[np.abs(directions).argmin(1)]
    right = _unit(np.cross(helper, directions))
    return np.stack([right, np.cross(directions, right), directions], axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
