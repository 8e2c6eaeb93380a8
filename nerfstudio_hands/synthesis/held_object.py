"""Things to hold: their shape, as a mesh, and their look.

Own frame of an object: meters, origin at its middle, z along its axis, x towards a mug's handle. Every object is its
own mirror image in the plane y = 0, so that a left hand can hold what a right hand holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis.anatomy import SkinPoints
from nerfstudio_hands.synthesis.implicit_shapes import Distance, mug, rounded, superquadric, surface_mesh, tube
from nerfstudio_hands.synthesis.noise import fractal_noise
from nerfstudio_hands.synthesis.profiles import smoothstep
from nerfstudio_hands.synthesis.skin import Material

CELL = 2e-3
"""Edge of the cells in which the surface is found; light and shadow are as fine as its triangles."""

ROUNDING = 4e-3
"""Radius of edges."""

SIZE_SPREAD = 0.05
"""Objects of different seeds differ in each direction by up to this fraction."""


@dataclass(frozen=True)
class SyntheticObject:
    """An object in its own frame."""

    kind: str
    seed: int
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    """Closed, counter-clockwise seen from outside."""

    def material(self, points: SkinPoints) -> Material:
        """Albedo and gloss at points in the object's frame."""
        position = points.position
        albedo = LOOKS[self.kind](position, self.seed)
        grain = 1 + 0.10 * fractal_noise(position / 1.5e-3, self.seed + 60, octaves=2)
        count = len(position)
        return Material(np.clip(albedo * grain[:, None], 0.01, 0.9), np.full(count, 0.45), np.full(count, 0.035))


def check_object(kind: str | None, *, num_hands: int) -> None:
    """Raise HandsError unless so many hands can hold an object of this kind; None is none."""
    if kind is None:
        return
    if kind not in SHAPES:
        raise HandsError(f"--object: expected {', '.join(SHAPES)} or none, found '{kind}': give one of these.")
    if num_hands != 1:
        raise HandsError("--object: expected a single hand to hold it, found two: ask for one hand, or leave it out.")


def make_object(kind: str, seed: int) -> SyntheticObject:
    """An object of a kind out of `SHAPES`; another seed is another size and pattern."""
    rng = np.random.default_rng([seed, 8])
    stretch = rng.uniform(1 - SIZE_SPREAD, 1 + SIZE_SPREAD, 3)
    # Around the axis it stays round, whatever is not a box.
    stretch[1] = stretch[1] if kind == "box" else stretch[0]
    shape, half, handle = SHAPES[kind]
    low, high = -np.array(half) * stretch, (np.array(half) + [handle, 0, 0]) * stretch
    return SyntheticObject(kind, seed, *surface_mesh(lambda p: shape(p / stretch), low, high, CELL))


def object_arrays(held: SyntheticObject) -> dict[str, np.ndarray]:
    """What the truth of a capture says about an object, by name."""
    vertices, faces = held.vertices.astype(np.float32), held.faces.astype(np.int32)
    return {"object": np.array(held.kind), "object_vertices": vertices, "object_faces": faces}


BOX = (0.022, 0.027, 0.050)
CYLINDER = (0.026, 0.058)
MUG = (0.033, 0.043)
HANDLE = (0.019, 5e-3)
SUPERQUADRIC = (0.030, 0.030, 0.048)
"""Half sizes; radius and half height; radii of the handle's ring and its section. Meters."""

SHAPES: dict[str, tuple[Distance, tuple[float, float, float], float]] = {
    "box": (lambda p: rounded(np.abs(p) - BOX + ROUNDING, ROUNDING), BOX, 0.0),
    "cylinder": (lambda p: tube(p, *CYLINDER, ROUNDING), (CYLINDER[0], *CYLINDER), 0.0),
    "mug": (lambda p: mug(p, *MUG, HANDLE, edge=ROUNDING, lip=1.5e-3, wide=0.9, off=2e-3), (MUG[0], *MUG), 0.026),
    "superquadric": (lambda p: superquadric(p, np.array(SUPERQUADRIC), 3.2, 2.4), SUPERQUADRIC, 0.0),
}
"""Function of the surface by kind, half sizes of a box round it, and by how much it reaches further towards x."""


def _printed_box(position: np.ndarray, seed: int) -> np.ndarray:
    """Cardboard with a colored band and spots, other ones on every side."""
    card, ink, band = np.array([0.58, 0.45, 0.30]), np.array([0.06, 0.20, 0.42]), np.array([0.62, 0.16, 0.07])
    spots = smoothstep(0.16, 0.22, fractal_noise(position / 0.016, seed + 61, octaves=1))
    stripe = smoothstep(0.011, 0.0105, np.abs(position[:, 2] - 0.018))
    lines = smoothstep(0.5, 0.7, np.sin(2 * np.pi * position[:, 2] / 0.006)) * (position[:, 2] < -0.018)
    return _mix(_mix(_mix(card, ink, spots), band, stripe), ink, lines)


def _labelled_can(position: np.ndarray, seed: int) -> np.ndarray:
    """A tin with a label: slanted stripes between two plain rims."""
    tin, ground, ink = np.array([0.42, 0.43, 0.44]), np.array([0.66, 0.60, 0.42]), np.array([0.10, 0.32, 0.16])
    angle = np.arctan2(position[:, 1], position[:, 0])
    wave = fractal_noise(position / 0.02, seed + 67, octaves=2)
    slant = np.sin(5 * angle + 2 * np.pi * position[:, 2] / 0.05 + 1.3 * wave)
    label = _mix(ground, ink, smoothstep(-0.1, 0.1, slant))
    blots = smoothstep(0.25, 0.3, fractal_noise(position / 0.011, seed + 62, octaves=1))
    return _mix(tin, _mix(label, np.array([0.55, 0.10, 0.10]), blots), smoothstep(0.047, 0.046, np.abs(position[:, 2])))


def _glazed(position: np.ndarray, seed: int) -> np.ndarray:
    """Pale glaze with painted spots and a dark rim."""
    glaze, paint, rim = np.array([0.66, 0.63, 0.56]), np.array([0.07, 0.18, 0.45]), np.array([0.20, 0.09, 0.05])
    spots = smoothstep(0.12, 0.17, fractal_noise(position / 0.012, seed + 63, octaves=1))
    dots = smoothstep(0.2, 0.25, fractal_noise(position / 0.008, seed + 64, octaves=1))
    painted = _mix(_mix(glaze, paint, spots), np.array([0.60, 0.28, 0.05]), dots)
    return _mix(painted, rim, smoothstep(0.036, 0.0365, position[:, 2]))


def _marble(position: np.ndarray, seed: int) -> np.ndarray:
    """Veined stone."""
    light, dark, vein = np.array([0.55, 0.58, 0.52]), np.array([0.16, 0.26, 0.24]), np.array([0.70, 0.55, 0.25])
    cloud = smoothstep(-0.3, 0.3, fractal_noise(position / 0.018, seed + 65, octaves=3))
    veins = smoothstep(0.05, 0.02, np.abs(fractal_noise(position / 0.022, seed + 66, octaves=3)))
    return _mix(_mix(dark, light, cloud), vein, veins)


def _mix(a: np.ndarray, b: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    return a + (b - a) * fraction[:, None]


LOOKS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "box": _printed_box,
    "cylinder": _labelled_can,
    "mug": _glazed,
    "superquadric": _marble,
}
"""Linear RGB albedo by kind: with enough pattern for pictures to say where the surface is."""
