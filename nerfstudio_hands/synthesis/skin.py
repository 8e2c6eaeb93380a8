"""How skin looks and how it is raised, anywhere on a hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.synthesis import skin_features as features
from nerfstudio_hands.synthesis.anatomy import Anatomy, SurfacePoints
from nerfstudio_hands.synthesis.noise import cell_borders, fractal_noise
from nerfstudio_hands.synthesis.profiles import smoothstep

MAX_RELIEF = 0.5
"""Largest displacement of the surface in millimetres: details that no template has, too small to be another hand."""

BACK_TONE = np.array([0.58, 0.325, 0.215])
PALM_TONE = np.array([0.69, 0.415, 0.315])
NAIL_TONE = np.array([0.64, 0.375, 0.295])
NAIL_EDGE_TONE = np.array([0.70, 0.57, 0.45])
"""Albedo, linear RGB; fair skin."""

BLOOD = np.array([0.16, 0.85, 0.72])
MELANIN = np.array([0.38, 0.70, 1.05])
VEIN = np.array([0.24, 0.10, 0.03])
"""Absorbances: albedo falls with exp(-amount * absorbance). Haemoglobin spares red; deep veins take red away."""


@dataclass(frozen=True)
class Appearance:
    """What light meets at N points of skin."""

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

    def relief(self, points: SurfacePoints) -> Float[np.ndarray, "N"]:
        """Displacement of the surface along its normal in metres, at most `MAX_RELIEF`."""
        a, p = self.anatomy, points.position * 1e3
        height = 0.16 * fractal_noise(p / 11.0, self.seed + 1, octaves=2)
        height += 0.30 * features.tendons(a, points)
        height += 0.26 * features.veins(a, points, self.seed + 2)
        height += 0.30 * features.knuckles(a, points)
        height -= 0.28 * features.palm_lines(a, points, self.seed + 3)
        height -= 0.34 * features.finger_creases(a, points, self.seed + 4)
        height += 0.16 * features.palm_cushions(a, points)
        return np.clip(height, -MAX_RELIEF, MAX_RELIEF) * 1e-3

    def fine_relief(self, points: SurfacePoints) -> Float[np.ndarray, "N"]:
        """Relief in metres that is too fine for the mesh and only turns the shading normal."""
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

    def appearance(self, points: SurfacePoints) -> Appearance:
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
        return Appearance(np.clip(albedo, 0.01, 0.95), np.clip(roughness, 0.2, 0.8), reflectance)
