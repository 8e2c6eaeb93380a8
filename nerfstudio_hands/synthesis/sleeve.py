"""A sleeve for the arm to come out of, so that no picture shows a cut-off hand."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from nerfstudio_hands.geometry.subdivision import loop_subdivision
from nerfstudio_hands.synthesis.anatomy import SurfacePoints
from nerfstudio_hands.synthesis.body import arm_axis, band
from nerfstudio_hands.synthesis.noise import fractal_noise
from nerfstudio_hands.synthesis.skin import Appearance

SLEEVE_START = 0.055
"""Metres behind the wrist."""

SLEEVE_LENGTH = 0.45
"""Metres; long enough to leave every picture."""

CLOTH = np.array([0.035, 0.042, 0.055])


def sleeve(
    rest: Float[np.ndarray, "V 3"], wrist: Int[np.ndarray, "L"]
) -> tuple[Float[np.ndarray, "S 3"], Int[np.ndarray, "T 3"]]:
    """A cuff and the arm of a garment around the forearm, as an open tube with a turned-in hem.

    Args:
        rest: Rest vertices of the hand model, metres.
        wrist: Its border, in the direction of its faces.

    Returns:
        Vertices at rest, which move with the wrist, and faces.
    """
    centre, axis = arm_axis(rest, wrist)
    offset = rest[wrist] - centre
    flat = offset - (offset @ axis)[:, None] * axis
    radius = np.linalg.norm(flat, axis=1).mean()
    round_shape = flat / np.linalg.norm(flat, axis=1, keepdims=True) * radius
    shape = 0.6 * flat + 0.4 * round_shape
    # (distance behind the wrist, width relative to the wrist); the first two are the inside of the hem.
    hem = [(SLEEVE_START + 0.028, 1.3), (SLEEVE_START + 0.002, 1.27), (SLEEVE_START, 1.3), (SLEEVE_START + 0.002, 1.37)]
    cuff = [(SLEEVE_START + d, 1.39) for d in (0.014, 0.028, 0.04)]
    arm = [(SLEEVE_START + 0.044, 1.48), (SLEEVE_START + 0.05, 1.64), (SLEEVE_START + 0.07, 1.76)]
    arm += [(SLEEVE_START + d, 1.8 + 0.8 * d) for d in np.linspace(0.1, SLEEVE_LENGTH, 8)]
    profile = hem + cuff + arm
    rings = np.concatenate([centre + width * shape + distance * axis for distance, width in profile])
    count = len(wrist)
    ring = np.arange(count)
    faces = np.concatenate([band(ring + count * k, ring + count * (k + 1)) for k in range(len(profile) - 1)])
    fine_faces, matrix = loop_subdivision(torch.from_numpy(faces), len(rings), 2)
    return matrix @ rings, fine_faces.numpy()


def sleeve_appearance(points: SurfacePoints) -> Appearance:
    """Dark cloth with a ribbed cuff; positions are those at rest, metres."""
    p = points.position * 1e3
    weave = fractal_noise(p / 1.6, 31, octaves=2)
    folds = fractal_noise(p / 30.0, 32, octaves=2)
    shade = 1 + 0.35 * weave + 0.25 * folds
    albedo = CLOTH * np.clip(shade, 0.3, 2)[:, None]
    return Appearance(albedo, np.full(len(p), 0.8), np.full(len(p), 0.02))
