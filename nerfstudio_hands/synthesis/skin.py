"""How skin looks and how it is raised, anywhere on a hand; and the cloth of the sleeve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.synthesis import skin_features as features
from nerfstudio_hands.synthesis.anatomy import Anatomy, SkinPoints
from nerfstudio_hands.synthesis.noise import cell_borders, fractal_noise
from nerfstudio_hands.synthesis.profiles import smoothstep

MAX_RELIEF = 0.5
"""Largest displacement of the surface in millimeters: details that no template has, too small to be another hand."""

BACK_TONE = np.array([0.58, 0.325, 0.215])
PALM_TONE = np.array([0.69, 0.415, 0.315])
NAIL_TONE = np.array([0.64, 0.375, 0.295])
NAIL_EDGE_TONE = np.array([0.70, 0.57, 0.45])
"""Albedo, linear RGB; fair skin."""

CLOTH_TONE = np.array([0.035, 0.042, 0.055])
"""Albedo of the sleeve, linear RGB."""

BLOOD = np.array([0.16, 0.85, 0.72])
MELANIN = np.array([0.38, 0.70, 1.05])
VEIN = np.array([0.24, 0.10, 0.03])
"""Absorbances: albedo falls with exp(-amount * absorbance). Haemoglobin spares red; deep veins take red away."""


@dataclass(frozen=True)
class Material:
    """What light meets at N points."""

    albedo: Float[np.ndarray, "N 3"]
    """Linear RGB."""
    roughness: Float[np.ndarray, "N"]
    """Of the GGX distribution of microfacets (its alpha is the square)."""
    reflectance: Float[np.ndarray, "N"]
    """Specular reflectance at normal incidence."""


@dataclass(frozen=True)
class Skin:
    """The skin of one person."""

    anatomy: Anatomy
    seed: int
    has_own_tone: bool = False
    """Whether this person is darker or ruddier than the next."""

    @cached_property
    def _complexion(self) -> Float[np.ndarray, "3"]:
        """Factor on the albedo."""
        if not self.has_own_tone:
            return np.ones(3)
        rng = np.random.default_rng([self.seed, 6])
        return np.exp(-rng.uniform(0, 1.1) * MELANIN - rng.uniform(-0.1, 0.25) * BLOOD)

    def relief(self, points: SkinPoints) -> Float[np.ndarray, "N"]:
        """Displacement of the surface along its normal in meters, at most `MAX_RELIEF`."""
        a, p = self.anatomy, points.position * 1e3
        height = 0.16 * fractal_noise(p / 11.0, self.seed + 1, octaves=2)
        height += 0.30 * features.tendons(a, points)
        height += 0.26 * features.veins(a, points, self.seed + 2)
        height += 0.30 * features.knuckles(a, points)
        height -= 0.28 * features.palm_lines(a, points, self.seed + 3)
        height -= 0.34 * features.finger_creases(a, points, self.seed + 4)
        height += 0.16 * features.palm_cushions(a, points)
        return np.clip(height, -MAX_RELIEF, MAX_RELIEF) * 1e-3

    def fine_relief(self, points: SkinPoints) -> Float[np.ndarray, "N"]:
        """Relief in meters that is too fine for the mesh and only turns the shading normal."""
        a, p = self.anatomy, points.position * 1e3
        nail = features.nails(a, points)
        skin = 1 - nail.plate
        back = features.dorsal(points)
        height = -0.30 * features.finger_creases(a, points, self.seed + 4)
        height -= 0.34 * features.palm_lines(a, points, self.seed + 3)
        height -= 0.05 * features.fine_lines(points, self.seed + 5)
        height -= 0.20 * features.knuckle_wrinkles(a, points, self.seed + 6)
        rough = np.flatnonzero(back * skin > 0)
        cells = smoothstep(0.0, 0.3, cell_borders(p[rough] / 1.1, self.seed + 8))
        height[rough] += 0.028 * (back * skin)[rough] * cells
        height += 0.035 * fractal_noise(p / 1.8, self.seed + 9, octaves=2) * skin
        height += 0.16 * nail.plate - 0.16 * nail.fold
        return height * 1e-3

    def material(self, points: SkinPoints) -> Material:
        """Albedo and gloss."""
        a, p = self.anatomy, points.position * 1e3
        # The forearm has the tone of the back all around, a little paler on the inside.
        palm = features.palmar(points) * (1 - 0.75 * features.forearm(a, points))
        back = features.dorsal(points)
        zones = features.knuckle_zones(a, points)
        creases = np.maximum(
            features.finger_creases(a, points, self.seed + 4), features.palm_lines(a, points, self.seed + 3)
        )
        wrinkles = features.knuckle_wrinkles(a, points, self.seed + 6)
        pads = features.finger_pads(a, points)
        nail = features.nails(a, points)

        # The palm is blotched more strongly than the back: its skin is thin over a dense net of vessels.
        mottling = fractal_noise(p / 9.0, self.seed + 20, octaves=4)
        speckle = fractal_noise(p / 2.2, self.seed + 21, octaves=2)
        blood = (0.16 + 0.20 * palm) * mottling + (0.08 + 0.10 * palm) * speckle
        blood += 0.34 * pads + 0.26 * zones * back + 0.16 * features.knuckles(a, points)
        blood += 0.26 * features.palm_cushions(a, points) + 0.34 * creases
        blood += 0.12 * features.fine_lines(points, self.seed + 5)
        blood += 0.5 * nail.fold + 0.3 * wrinkles
        melanin = 0.14 * fractal_noise(p / 13.0, self.seed + 22, octaves=3) * (1 - 0.6 * palm)
        melanin += 0.14 * zones * back + 0.26 * creases + 0.26 * wrinkles
        freckles = smoothstep(0.52, 0.72, fractal_noise(p / 3.1, self.seed + 23, octaves=1)) * back
        melanin += 0.30 * freckles
        vein = 0.75 * features.veins(a, points, self.seed + 2)

        tone = BACK_TONE + (PALM_TONE - BACK_TONE) * palm[:, None]
        absorbed = blood[:, None] * BLOOD + melanin[:, None] * MELANIN + vein[:, None] * VEIN
        albedo = tone * np.exp(-absorbed)

        # Nail: pink bed, pale moon at the root, ivory free edge.
        lunula = 0.6 * smoothstep(0.26, 0.12, nail.along)
        edge = smoothstep(0.88, 0.93, nail.along)
        streaks = 1 + 0.03 * speckle
        plate = NAIL_TONE * (1 + 0.25 * lunula[:, None]) * streaks[:, None]
        plate = plate + (NAIL_EDGE_TONE - plate) * edge[:, None]
        albedo = albedo + (plate - albedo) * nail.plate[:, None]

        roughness = 0.50 + 0.06 * palm + 0.05 * mottling
        roughness += (0.26 - roughness) * nail.plate
        reflectance = 0.028 + 0.022 * nail.plate
        return Material(np.clip(albedo, 0.01, 0.95) * self._complexion, np.clip(roughness, 0.2, 0.8), reflectance)


def cloth_material(points: SkinPoints) -> Material:
    """Dark cloth with a ribbed cuff; positions are those at rest, meters."""
    p = points.position * 1e3
    weave = fractal_noise(p / 1.6, 31, octaves=2)
    folds = fractal_noise(p / 30.0, 32, octaves=2)
    shade = 1 + 0.35 * weave + 0.25 * folds
    albedo = CLOTH_TONE * np.clip(shade, 0.3, 2)[:, None]
    return Material(albedo, np.full(len(p), 0.8), np.full(len(p), 0.02))
