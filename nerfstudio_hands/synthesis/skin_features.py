"""The marks of a hand's skin: creases, knuckles, veins, tendons and nails, as fields over the hand at rest.

Every function takes points on the skin and returns a strength in [0, 1] a point, 0 where the feature is absent.
Lengths are millimeters, measured in joint frames; the numbers are read off photographs of hands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial import KDTree

from nerfstudio_hands.synthesis.anatomy import Anatomy, SkinPoints
from nerfstudio_hands.synthesis.noise import fractal_noise, gradient_noise
from nerfstudio_hands.synthesis.profiles import bump, smoothstep

Strength = Float[np.ndarray, "N"]

PALM_LINES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.80, -0.66), (0.80, -0.42), (0.85, -0.10), (0.93, 0.14), (1.02, 0.24)),
    ((0.83, 0.56), (0.77, 0.30), (0.68, -0.02), (0.60, -0.26), (0.54, -0.44)),
    ((0.83, 0.56), (0.73, 0.36), (0.57, 0.19), (0.36, 0.07), (0.16, 0.08), (0.06, 0.13)),
    ((0.20, -0.04), (0.42, -0.02), (0.62, 0.02), (0.80, 0.00)),
    ((0.86, -0.30), (0.93, -0.34), (0.99, -0.33)),
    ((0.87, 0.02), (0.95, -0.02), (1.01, -0.05)),
)
"""Heart, head and life line, then weaker ones, in palm coordinates (see `palm_coordinates`)."""

PALM_LINE_STRENGTH = (0.9, 0.9, 1.0, 0.35, 0.3, 0.3)

WRIST_LINES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.03, -0.40), (0.00, -0.10), (0.00, 0.15), (0.04, 0.36)),
    ((-0.05, -0.42), (-0.08, -0.10), (-0.08, 0.15), (-0.04, 0.36)),
)

VEINS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((-0.35, 0.16), (0.05, 0.14), (0.30, 0.04), (0.52, -0.14), (0.76, -0.22), (0.98, -0.24)),
    ((0.30, 0.04), (0.50, 0.14), (0.74, 0.14), (0.98, 0.22)),
    ((-0.30, -0.12), (0.05, -0.26), (0.35, -0.30), (0.62, -0.44), (0.94, -0.56)),
    ((0.52, -0.14), (0.58, -0.28), (0.62, -0.44)),
    ((0.74, 0.14), (0.82, -0.02), (0.76, -0.22)),
)
"""The network of veins on the back of the hand, in palm coordinates."""

NAIL_ROOT = (0.52, 0.43, 0.46, 0.47, 0.46)
"""Where each nail begins, in lengths of the last bone from the last joint; thumb to little finger."""

NAIL_EDGE = 0.98
"""Where the nails end."""

NAIL_HALF_WIDTH = 0.21
"""In lengths of the last bone."""


@dataclass(frozen=True)
class Nails:
    """Where a point lies on a nail."""

    plate: Strength
    """1 on the nail plate."""
    fold: Strength
    """1 in the groove around it."""
    along: Strength
    """0 at the root, 1 at the free edge."""


def palm_coordinates(anatomy: Anatomy, position: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
    """Coordinates over palm and back: 0 at the wrist to 1 at the middle knuckle, and across, one knuckle row wide.

    The second is 0 on the line from the wrist to the middle knuckle and positive towards the thumb.
    """
    wrist, axes = _palm_frame(anatomy)
    return (position[:, ::2] - wrist) @ np.linalg.inv(axes).T


def _palm_frame(anatomy: Anatomy) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]]:
    """Origin and axes (columns) of palm coordinates in the plane of x and z, meters."""
    wrist, index, middle, pinky = (anatomy.joints[j, ::2] for j in (0, 5, 9, 17))
    return wrist, np.stack([middle - wrist, index - pinky], axis=1)


def palmar(points: SkinPoints) -> Strength:
    """1 on the palm side."""
    return smoothstep(0.15, -0.35, points.dorsal)


def forearm(anatomy: Anatomy, points: SkinPoints) -> Strength:
    """1 behind the wrist."""
    return smoothstep(0.04, -0.1, palm_coordinates(anatomy, points.position)[:, 0])


def dorsal(points: SkinPoints) -> Strength:
    """1 on the back."""
    return smoothstep(0.05, 0.6, points.dorsal)


def finger_creases(anatomy: Anatomy, points: SkinPoints, seed: int) -> Strength:
    """The transverse creases on the palm side of the finger joints, where the skin folds when a finger bends."""
    side = smoothstep(0.45, -0.25, points.dorsal)
    total = np.zeros(len(side))
    for finger in range(5):
        first = 1 + 4 * finger
        # (joint, position along in millimeters, strength)
        lines = [(first + 1, 0.3, 1.0), (first + 1, 3.4, 0.45), (first + 2, -0.2, 0.9), (first + 2, -2.2, 0.3)]
        if finger == 0:
            lines = [(3, 0.0, 1.0), (3, 3.0, 0.5), (2, 3.0, 0.6), (2, 0.0, 0.4)]
        else:
            lines += [(first, 10.5, 0.9), (first, 13.0, 0.4)]
        held = smoothstep(0.3, 0.7, points.finger[:, finger])
        chosen = np.flatnonzero(held * side > 1e-3)
        wiggle = gradient_noise(points.position[chosen] * 1e3 / 5.0, seed) * 0.7
        for joint, position, strength in lines:
            along, across, _ = anatomy.local(points.position[chosen], joint).T
            line = along - position - 0.02 * across**2 + wiggle
            fade = smoothstep(11.0, 4.0, np.abs(across))
            total[chosen] = np.maximum(total[chosen], strength * fade * bump(line, 0.55) * held[chosen])
    return total * side


def knuckle_zones(anatomy: Anatomy, points: SkinPoints) -> Strength:
    """The wrinkled patches on the back of the finger joints."""
    total = np.zeros(len(points.dorsal))
    back = dorsal(points)
    for finger in range(5):
        first = 1 + 4 * finger
        held = smoothstep(0.3, 0.7, points.finger[:, finger])
        middle, end = (first + 1, first + 2) if finger else (2, 3)
        for joint, length, strength in ((middle, 5.2, 1.0), (end, 3.0, 0.7)):
            along, across, _ = anatomy.local(points.position, joint).T
            total = np.maximum(total, strength * held * back * bump(along - 0.5, length) * bump(across, 8.0))
    return total


def knuckle_wrinkles(anatomy: Anatomy, points: SkinPoints, seed: int) -> Strength:
    """Fine transverse folds inside the knuckle zones, curved around the joint."""
    zone = knuckle_zones(anatomy, points)
    chosen = np.flatnonzero(zone > 0.02)
    total = np.zeros(len(zone))
    position = points.position[chosen]
    warp = fractal_noise(position * 1e3 / 4.0, seed, octaves=2)
    best = np.zeros(len(chosen))
    for finger in range(5):
        first = 1 + 4 * finger
        for joint in (first + 1, first + 2):
            along, across, _ = anatomy.local(position, joint).T
            bent = along + np.sign(along) * 0.03 * across**2 + 0.9 * warp
            wave = np.cos(2 * np.pi * bent / 2.1)
            near = smoothstep(12.0, 7.0, np.abs(along)) * points.finger[chosen, finger]
            best = np.maximum(best, near * np.clip(wave, 0, 1) ** 3)
    total[chosen] = best * zone[chosen]
    return total


def knuckles(anatomy: Anatomy, points: SkinPoints) -> Strength:
    """The heads of the metacarpals on the back of the hand."""
    total = np.zeros(len(points.dorsal))
    for joint in (5, 9, 13, 17):
        along, across, _ = anatomy.local(points.position, joint).T
        total = np.maximum(total, bump(along + 2.0, 8.5) * bump(across, 6.5))
    return total * dorsal(points)


def tendons(anatomy: Anatomy, points: SkinPoints) -> Strength:
    """The extensor tendons, from the wrist to the knuckles."""
    wrist = anatomy.joints[0, ::2]
    total = np.zeros(len(points.dorsal))
    for joint in (5, 9, 13, 17):
        head = anatomy.joints[joint, ::2]
        start = wrist + 0.25 * (head - wrist)
        direction = head - start
        length = np.linalg.norm(direction)
        direction /= length
        offset = points.position[:, ::2] - start
        t = offset @ direction / length
        aside = (offset @ np.array([-direction[1], direction[0]])) * 1e3
        total = np.maximum(total, bump(aside, 2.3) * smoothstep(0.0, 0.6, t) * smoothstep(1.08, 0.9, t))
    return total * dorsal(points)


def veins(anatomy: Anatomy, points: SkinPoints, seed: int) -> Strength:
    """Veins under the back of the hand and the forearm."""
    mask = dorsal(points) * smoothstep(0.3, 0.8, 1 - points.finger.sum(1))
    chosen = np.flatnonzero(mask > 0)
    position = points.position[chosen]
    distance, _ = _distance_to_curves(
        anatomy, position + _plane_warp(position, seed, scale=13.0, amount=3.0), VEINS, limit=8e-3
    )
    deep = 0.65 + 0.5 * fractal_noise(position * 1e3 / 18.0, seed + 7, octaves=1)
    total = np.zeros(len(mask))
    total[chosen] = bump(distance, 1.7) * np.clip(deep, 0, 1)
    return total * mask


def palm_lines(anatomy: Anatomy, points: SkinPoints, seed: int) -> Strength:
    """The lines of the palm and the bracelets of the wrist."""
    mask = smoothstep(0.2, -0.3, points.dorsal) * smoothstep(0.05, 0.45, 1 - points.finger[:, 1:].sum(1))
    chosen = np.flatnonzero(mask > 0)
    position = points.position[chosen]
    position = position + _plane_warp(position, seed, scale=9.0, amount=1.3)
    best = np.zeros(len(chosen))
    for curve, strength in zip(PALM_LINES + WRIST_LINES, PALM_LINE_STRENGTH + (0.6, 0.45), strict=True):
        distance, t = _distance_to_curves(anatomy, position, (curve,))
        taper = smoothstep(0.0, 0.08, t) * smoothstep(1.0, 0.85, t)
        best = np.maximum(best, strength * bump(distance, 0.35 + 0.35 * strength) * taper)
    total = np.zeros(len(mask))
    total[chosen] = best
    return total * mask


def fine_lines(points: SkinPoints, seed: int) -> Strength:
    """The many short shallow lines that cross a palm."""
    mask = palmar(points)
    chosen = np.flatnonzero(mask > 0)
    p = points.position[chosen] * 1e3
    first = fractal_noise(p * np.array([1 / 22.0, 1 / 9.0, 1 / 5.0]), seed, octaves=2)
    second = fractal_noise(p * np.array([1 / 5.5, 1 / 9.0, 1 / 18.0]), seed + 3, octaves=2)
    lines = np.maximum(smoothstep(0.05, 0.0, np.abs(first)), 0.8 * smoothstep(0.05, 0.0, np.abs(second)))
    total = np.zeros(len(mask))
    total[chosen] = lines * smoothstep(-0.1, 0.35, gradient_noise(p / 14.0, seed + 5))
    return total * mask


def finger_pads(anatomy: Anatomy, points: SkinPoints) -> Strength:
    """The soft, well-perfused pads of the fingertips and the skin around the nails."""
    total = np.zeros(len(points.dorsal))
    for finger in range(5):
        tip = 4 + 4 * finger
        along = anatomy.local(points.position, tip)[:, 0] / anatomy.bone_length(tip)
        total += points.finger[:, finger] * smoothstep(-0.9, -0.15, along)
    return total


def palm_cushions(anatomy: Anatomy, points: SkinPoints) -> Strength:
    """The balls of thumb and little finger and the pads below the fingers."""
    u, v = palm_coordinates(anatomy, points.position).T
    thenar = bump(u - 0.38, 0.26) * bump(v - 0.42, 0.26)
    hypothenar = bump(u - 0.40, 0.32) * bump(v + 0.46, 0.2)
    pads = bump(u - 0.98, 0.09)
    return np.maximum(np.maximum(thenar, hypothenar), 0.8 * pads) * palmar(points)


def nails(anatomy: Anatomy, points: SkinPoints) -> Nails:
    """The nail plates, on the backs of the last bones."""
    plate = np.zeros(len(points.dorsal))
    fold = np.zeros(len(plate))
    along_plate = np.zeros(len(plate))
    for finger in range(5):
        chosen = np.flatnonzero((points.finger[:, finger] > 0.5) & (points.dorsal > -0.1))
        base = 3 + 4 * finger
        length = anatomy.bone_length(base + 1)
        tip_frame = anatomy.local(points.position[chosen], base + 1)
        along = 1 + tip_frame[:, 0] / length
        half = NAIL_HALF_WIDTH * length
        root = NAIL_ROOT[finger] * length
        end = NAIL_EDGE * length
        s = along * length
        # A rounded root, straight sides, a gently rounded edge: a superellipse, measured as a distance in millimeters.
        center, reach = 0.5 * (root + end), 0.5 * (end - root)
        x, y = np.abs(tip_frame[:, 1]) / half, np.abs(s - center) / reach
        power = np.where(s < center, 2.6, 3.6)
        radius = (x**power + y**power) ** (1 / power)
        outside = (radius - 1) * half
        facing = smoothstep(0.0, 0.3, points.dorsal[chosen])
        plate[chosen] = smoothstep(0.25, -0.25, outside) * facing
        open_end = smoothstep(0.55, 0.95, (s - root) / (end - root))
        fold[chosen] = bump(outside - 0.2, 0.6) * facing * (1 - open_end)
        along_plate[chosen] = np.clip((s - root) / (end - root), 0, 1)
    return Nails(plate, fold, along_plate)


def _plane_warp(position: np.ndarray, seed: int, *, scale: float, amount: float) -> np.ndarray:
    """A smooth random shift in the plane of the palm; `scale` and `amount` in millimeters, the result in meters."""
    p = position * 1e3 / scale
    shift = np.zeros_like(position)
    shift[:, 0] = fractal_noise(p, seed, octaves=2)
    shift[:, 2] = fractal_noise(p, seed + 11, octaves=2)
    return shift * amount * 1e-3


def _distance_to_curves(
    anatomy: Anatomy,
    position: np.ndarray,
    curves: tuple[tuple[tuple[float, float], ...], ...],
    *,
    limit: float = 4e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """Distance in the plane of the palm to smooth curves through points in palm coordinates, and where on them.

    Millimeters, infinite beyond `limit` meters; the latter runs from 0 to 1 along each curve.
    """
    wrist, axes = _palm_frame(anatomy)
    dense, parameters = [], []
    for curve in curves:
        corners = wrist + np.array(curve) @ axes.T
        steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        knots = np.concatenate([[0.0], np.cumsum(steps)])
        t = np.linspace(0, knots[-1], 400)
        dense.append(CubicSpline(knots, corners)(t))
        parameters.append(t / knots[-1])
    distance, nearest = KDTree(np.concatenate(dense)).query(position[:, ::2], distance_upper_bound=limit)
    return distance * 1e3, np.append(np.concatenate(parameters), 0.0)[nearest]
