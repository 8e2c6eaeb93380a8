"""Things of many kinds and sizes to take hold of, as functions of their surfaces.

Own frame, as of `held_object`: meters, z along the axis, every thing its own mirror image in the plane y = 0, so that a
left hand can hold what a right hand holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.synthesis.implicit_shapes import (
    Distance,
    mug,
    rounded,
    smooth_maximum,
    smooth_minimum,
    superquadric,
    surface_mesh,
    tube,
)

X, Y, Z = np.eye(3)

CELLS, CELLS_OF_MUGS, CELLS_OF_BOWLS, CELLS_OF_BLADES = (2e-3, 4e-3), (2e-3, 3e-3), (1.6e-3, 3e-3), (1.2e-3, 2.5e-3)
"""Edges of the cells in which surfaces are found, meters: for truth, and to be drawn small."""


@dataclass(frozen=True)
class Grip:
    """How a fist may close around a thing; directions in the thing's frame."""

    axis: Float[np.ndarray, "3"]
    """Runs through the fist, to the thumb's side or away from it."""
    palm: Float[np.ndarray, "3"]
    """Points to the palm, before the thing is rolled about the axis."""
    roll: float
    """Degrees by which it may be rolled to either side."""
    along: tuple[float, float] = (0.0, 0.0)
    """Part of the axis that may lie in the middle of the fist, meters."""
    point: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    """A point of the axis."""


@dataclass(frozen=True)
class Solid:
    """A thing to hold."""

    distance: Distance
    """Grows about like the distance near the surface."""
    low: Float[np.ndarray, "3"]
    high: Float[np.ndarray, "3"]
    """Corners of a box round it."""
    grips: tuple[Grip, ...]
    cells: tuple[float, float] = CELLS

    def mesh(self, *, drawn: bool) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and faces, counter-clockwise from outside: true within 0.3 mm, or fewer of them."""
        return surface_mesh(self.distance, self.low, self.high, self.cells[drawn])


@lru_cache(maxsize=1024)
def solid(kind: str, seed: int) -> Solid:
    """The thing of a kind out of `KINDS` and a seed, which is another size and proportion."""
    return KINDS[kind](np.random.default_rng([list(KINDS).index(kind), seed, 71]))


def _box(rng: np.random.Generator) -> Solid:
    half = np.array([*rng.uniform(0.010, 0.034, 2), rng.uniform(0.03, 0.085)])
    radius = rng.uniform(0.003, 0.006)
    reach = 0.6 * half[2]
    grips = tuple(Grip(Z, side, 12, (-reach, reach)) for side in (X, -X, Y))
    return _solid(lambda p: rounded(np.abs(p) - half + radius, radius), half, grips)


def _cylinder(rng: np.random.Generator) -> Solid:
    radius, half = rng.uniform(0.012, 0.036), rng.uniform(0.03, 0.085)
    edge = rng.uniform(0.003, 0.006)
    reach = (radius, radius, half)
    return _solid(lambda p: tube(p, radius, half, edge), reach, _around(-0.6 * half, 0.6 * half))


def _mug(rng: np.random.Generator) -> Solid:
    radius, half = rng.uniform(0.031, 0.042), rng.uniform(0.036, 0.052)
    ring, thick = rng.uniform(0.40, 0.5) * half, rng.uniform(0.004, 0.006)
    wide = rng.uniform(0.8, 1.2)
    low = np.array([-radius, -radius, -half])
    high = np.array([radius + wide * (ring + thick) + 1e-3, radius, half])
    body = Grip(Z, -X, 110, (-0.2 * half, 0.2 * half))
    handle = Grip(Z, -X, 25, (-0.1 * half, 0.1 * half), np.array([radius + wide * ring, 0, 0]))
    shape = partial(mug, radius=radius, half=half, handle=(ring, thick), edge=3e-3, lip=3e-3, wide=wide)
    return Solid(shape, low, high, (body, body, handle), CELLS_OF_MUGS)


def _superquadric(rng: np.random.Generator) -> Solid:
    half = np.array([*rng.uniform(0.018, 0.036, 2), rng.uniform(0.028, 0.065)])
    across, along = rng.uniform(1.7, 4.0, 2)
    grips = _around(-0.4 * half[2], 0.4 * half[2])
    return _solid(lambda p: superquadric(p, half, across, along), half, grips)


def _bottle(rng: np.random.Generator) -> Solid:
    """A body, a shoulder and a neck with a cap."""
    radius, half = rng.uniform(0.021, 0.036), rng.uniform(0.062, 0.095)
    neck, share = rng.uniform(0.009, 0.014), rng.uniform(0.55, 0.75)
    shoulder = (2 * share - 1) * half
    fillet = min(0.022, 0.6 * (half - shoulder))

    def distance(p: np.ndarray) -> np.ndarray:
        body = tube(p - [0, 0, 0.5 * (shoulder - half)], radius, 0.5 * (shoulder + half), 4e-3)
        top = tube(p - [0, 0, 0.5 * half], neck, 0.5 * half, 3e-3)
        cap = tube(p - [0, 0, half - 8e-3], neck + 2e-3, 8e-3, 3e-3)
        return np.minimum(smooth_minimum(body, top, fillet), cap)

    return _solid(distance, (radius, radius, half), _around(-0.7 * half, 0.9 * shoulder))


def _bowl(rng: np.random.Generator) -> Solid:
    """A part of a sphere on a foot."""
    radius, wall = rng.uniform(0.045, 0.075), rng.uniform(0.0018, 0.0028)
    depth, foot = rng.uniform(0.5, 0.85) * radius, rng.uniform(0.3, 0.5) * radius
    half = 0.5 * depth

    def distance(p: np.ndarray) -> np.ndarray:
        # The lowest point of the sphere is half the depth below the origin.
        ball = np.abs(np.linalg.norm(p - [0, 0, radius - half], axis=1) - radius + wall) - wall
        base = np.linalg.norm(p[:, :2], axis=1) - foot
        base = rounded(np.stack([base, np.abs(p[:, 2] + half) - 4e-3], 1) + 1e-3, 1e-3)
        inner = radius - 2 * wall - np.linalg.norm(p - [0, 0, radius - half], axis=1)
        return smooth_minimum(smooth_maximum(ball, p[:, 2] - half, 2 * wall), np.maximum(base, -inner), 1e-3)

    reach = (radius, radius, half + 5e-3)
    return Solid(distance, -np.array(reach), np.array(reach), (Grip(X, -Z, 12), Grip(Y, -Z, 12)), CELLS_OF_BOWLS)


def _pliers(rng: np.random.Generator) -> Solid:
    """Two crossed levers in the plane of x and z, the jaws upwards."""
    thick, spread = rng.uniform(0.0055, 0.0075), rng.uniform(0.016, 0.024)
    down, up = rng.uniform(0.085, 0.115), rng.uniform(0.035, 0.05)
    levers = [
        [(side * 0.5 * spread, -down), (side * spread, -0.55 * down), (side * 0.3 * spread, -0.12 * down), (0.0, 0.0)]
        for side in (-1, 1)
    ]
    jaws = [[(side * 0.5 * thick, 0.0), (side * 0.9 * thick, 0.45 * up), (side * 0.2 * thick, up)] for side in (-1, 1)]
    middle = 0.5 * (up - down)

    def distance(p: np.ndarray) -> np.ndarray:
        p = p + [0, 0, middle]
        parts = [_capsule(p, a, b, thick) for path in levers for a, b in zip(path, path[1:], strict=False)]
        parts += [_capsule(p, a, b, 0.7 * thick) for path in jaws for a, b in zip(path, path[1:], strict=False)]
        pivot = rounded(np.stack([np.hypot(p[:, 0], p[:, 2]) - 1.7 * thick, np.abs(p[:, 1]) - thick], 1) + 2e-3, 2e-3)
        return _all_together([*parts, pivot], 3e-3)

    reach = np.array([spread + thick, 1.1 * thick, 0.5 * (up + down) + thick]) + 2e-3
    held = (-0.75 * down - middle, -0.4 * down - middle)
    return Solid(distance, -reach, reach, tuple(Grip(Z, side, 20, held) for side in (X, -X, Y)), CELLS_OF_BLADES)


def _knife(rng: np.random.Generator) -> Solid:
    """A handle below, a blade in the plane of x and z that narrows to its point above."""
    handle = np.array([rng.uniform(0.010, 0.015), rng.uniform(0.007, 0.010), rng.uniform(0.042, 0.055)])
    blade = np.array([rng.uniform(0.009, 0.016), rng.uniform(0.0014, 0.002), rng.uniform(0.035, 0.05)])
    half = handle[2] + blade[2]
    radius, slant = 0.8 * handle[1], blade[0] / blade[2]

    def distance(p: np.ndarray) -> np.ndarray:
        grip = rounded(np.abs(p - [0, 0, handle[2] - half]) - handle + radius, radius)
        q = p - [0, 0, half - blade[2]]
        # The edge runs to the straight back over the upper half of the blade.
        cut = (q[:, 0] + slant * q[:, 2] - blade[0]) / np.hypot(1, slant)
        sides = np.concatenate([np.abs(q) - blade * [1, 1, 1.1], cut[:, None]], axis=1)
        return smooth_minimum(grip, rounded(sides + 0.9 * blade[1], 0.9 * blade[1]), 2e-3)

    reach = np.array([max(handle[0], blade[0]), handle[1], half + 0.1 * blade[2]]) + 1e-3
    held = (0.5 * handle[2] - half, 1.6 * handle[2] - half)
    return Solid(distance, -reach, reach, tuple(Grip(Z, side, 40, held) for side in (X, -X, Y)), CELLS_OF_BLADES)


def _torus(rng: np.random.Generator) -> Solid:
    ring, thick = rng.uniform(0.026, 0.046), rng.uniform(0.007, 0.012)
    reach = (ring + thick, ring + thick, thick)
    side = ring * X
    grips = (Grip(Y, X, 60, point=side), Grip(Y, -X, 60, point=side), Grip(Y, -Z, 60, point=side))
    return _solid(lambda p: np.hypot(np.hypot(p[:, 0], p[:, 1]) - ring, p[:, 2]) - thick, reach, grips)


def _ball(rng: np.random.Generator) -> Solid:
    radius = rng.uniform(0.02, 0.038)
    return _solid(lambda p: np.linalg.norm(p, axis=1) - radius, (radius,) * 3, _around(-0.1 * radius, 0.1 * radius))


def _hammer(rng: np.random.Generator) -> Solid:
    """A handle and across it, along x, a head."""
    thin, half = rng.uniform(0.010, 0.014), rng.uniform(0.075, 0.095)
    head, long = rng.uniform(0.011, 0.016), rng.uniform(0.03, 0.045)

    def distance(p: np.ndarray) -> np.ndarray:
        q = p - [0, 0, half - head]
        across = np.stack([np.hypot(q[:, 1], q[:, 2]) - head, np.abs(q[:, 0]) - long], axis=1)
        return smooth_minimum(tube(p, thin, half, 4e-3), rounded(across + 3e-3, 3e-3), 4e-3)

    reach = np.array([long, max(head, thin), half]) + 1e-3
    return Solid(distance, -reach, reach, _around(-0.75 * half, 0.1 * half))


def _solid(distance: Distance, reach: tuple[float, ...] | np.ndarray, grips: tuple[Grip, ...]) -> Solid:
    return Solid(distance, -np.array(reach), np.array(reach), grips)


def _around(low: float, high: float) -> tuple[Grip, ...]:
    """Around the axis, rolled anyhow."""
    return (Grip(Z, X, 180, (low, high)),)


def _all_together(parts: list[np.ndarray], width: float) -> np.ndarray:
    total = parts[0]
    for part in parts[1:]:
        total = smooth_minimum(total, part, width)
    return total


def _capsule(points: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float) -> np.ndarray:
    """A round bar between two points of the plane of x and z."""
    a, b = (np.array([place[0], 0.0, place[1]]) for place in (start, end))
    share = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(points - a - share[:, None] * (b - a), axis=1) - radius


KINDS: dict[str, Callable[[np.random.Generator], Solid]] = {
    "box": _box,
    "cylinder": _cylinder,
    "mug": _mug,
    "superquadric": _superquadric,
    "bottle": _bottle,
    "bowl": _bowl,
    "pliers": _pliers,
    "knife": _knife,
    "torus": _torus,
    "ball": _ball,
    "hammer": _hammer,
}
"""What can be held."""
