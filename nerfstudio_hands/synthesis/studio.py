"""The room of a capture-room capture: soft boxes between plain walls, and a ring of cameras."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.synthesis.light import Room, facing_box, outward
from nerfstudio_hands.synthesis.profiles import smoothstep
from nerfstudio_hands.synthesis.rig import RigCamera, look_at, pinhole

ELEVATIONS = (12.0, 38.0, -14.0, 24.0)
"""Degrees above the horizon of every first, second, ... camera of a ring; none looks up along the arm."""

DISTANCE = 0.8
"""Meters between cameras and subject, give or take a tenth."""


class Studio(Room):
    """Soft boxes around a subject, in a room whose walls are far away."""

    def walls(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Radiance of ceiling, walls and floor in a world direction; z is up."""
        elevation = directions[:, 2]
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        curtain = smoothstep(-0.35, 0.45, np.cos(azimuth - 2.2) + 0.12 * np.sin(3 * azimuth + 0.5))[:, None]
        wall = np.array([0.21, 0.215, 0.21]) * (1 - curtain) + np.array([0.065, 0.09, 0.082]) * curtain
        wall = wall * (0.85 + 0.5 * elevation[:, None])
        ceiling = np.array([0.55, 0.55, 0.53])
        floor = np.array([0.10, 0.085, 0.07])
        above = smoothstep(0.45, 0.95, elevation)[:, None]
        below = smoothstep(-0.15, -0.75, elevation)[:, None]
        return wall * (1 - above) * (1 - below) + ceiling * above + floor * below

    def background(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """The walls and the soft boxes, out of focus."""
        color = self.walls(directions)
        for box in self.boxes:
            toward = box.center - self.center
            distance = np.linalg.norm(toward)
            depth = directions @ (toward / distance)
            on_plane = directions / np.maximum(depth, 0.05)[:, None] * distance
            glow = (depth > 0.05).astype(float)
            for half in (box.right, box.up):
                size = np.linalg.norm(half)
                glow *= smoothstep(1.12, 0.84, np.abs(on_plane @ half) / size**2)
            color = color + glow[:, None] * (0.09 * box.radiance - color)
        return color


def studio(center: Float[np.ndarray, "3"], rng: np.random.Generator) -> Studio:
    """Three soft boxes at slightly random places around a subject; world z is up."""
    # (azimuth, elevation in degrees, distance in meters, half a side, radiance)
    plan = (
        (62.0, 42.0, 1.1, 0.26, (14.0, 13.2, 12.2)),
        (190.0, 34.0, 1.2, 0.32, (5.0, 5.1, 5.2)),
        (305.0, 20.0, 1.25, 0.28, (7.4, 7.0, 6.5)),
    )
    boxes = []
    for azimuth, elevation, distance, half, radiance in plan:
        direction = [azimuth, elevation] + rng.uniform(-8, 8, 2)
        boxes.append(facing_box(center, direction, distance, half, np.array(radiance)))
    return Studio(tuple(boxes), center)


def ring_of_cameras(
    center: Float[np.ndarray, "3"],
    radius: float,
    *,
    num_cameras: int,
    resolution: int,
    rng: np.random.Generator,
) -> list[RigCamera]:
    """Cameras all around a subject, slightly irregular as rigs are; world z is up.

    Args:
        center: Middle of the subject, meters.
        radius: Of the sphere around it that the pictures show whole, meters.
        num_cameras: How many.
        resolution: Width and height in pixels.
        rng: Draws the irregularities and the gains. The first camera has gain one.
    """
    cameras = []
    for index in range(num_cameras):
        azimuth = 2 * np.pi * (index + rng.uniform(-0.15, 0.15)) / num_cameras
        elevation = np.radians(ELEVATIONS[index % len(ELEVATIONS)] + rng.uniform(-4, 4))
        distance = DISTANCE * rng.uniform(0.9, 1.1)
        target = center + rng.uniform(-0.06, 0.06, 3) * radius
        focal = 0.5 * resolution / np.tan(np.arcsin(radius / distance)) * rng.uniform(0.95, 1.0)
        intrinsics = pinhole((focal, focal), resolution * (0.5 + rng.uniform(-0.01, 0.01, 2)))
        exposure = rng.uniform(0.8, 1.12)
        balance = 1 + rng.uniform(-0.025, 0.025, 3)
        gain = np.ones(3) if index == 0 else exposure * balance
        eye = target + distance * outward(azimuth, elevation)
        pose = look_at(eye, target, roll=np.radians(rng.uniform(-6, 6)))
        cameras.append(RigCamera(f"{index:02d}", intrinsics, pose, resolution, resolution, gain))
    return cameras
