"""Cameras around a subject, each with its own lens and its own exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

ELEVATIONS = (12.0, 38.0, -14.0, 24.0)
"""Degrees above the horizon of every first, second, ... camera of a ring; none looks up along the arm."""

DISTANCE = 0.8
"""Metres between cameras and subject, give or take a tenth."""


@dataclass(frozen=True)
class RigCamera:
    """A pinhole camera of the rig, with the colour gain that its pictures carry."""

    name: str
    intrinsics: Float[np.ndarray, "3 3"]
    """Pixels; the centre of the upper left pixel is (0.5, 0.5)."""
    world_to_camera: Float[np.ndarray, "4 4"]
    """Metres; OpenCV axes (x right, y down, z forward)."""
    width: int
    height: int
    gain: Float[np.ndarray, "3"]
    """Factor on the red, green and blue pixel values."""

    def project(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 2"]:
        """Pixels of world points."""
        camera = points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]
        pixels = camera @ self.intrinsics.T
        return pixels[..., :2] / pixels[..., 2:]


def ring_of_cameras(
    centre: Float[np.ndarray, "3"],
    radius: float,
    *,
    num_cameras: int,
    resolution: int,
    rng: np.random.Generator,
) -> list[RigCamera]:
    """Cameras all around a subject, slightly irregular as rigs are; world z is up.

    Args:
        centre: Middle of the subject, metres.
        radius: Of the sphere around it that the pictures show whole, metres.
        num_cameras: How many.
        resolution: Width and height in pixels.
        rng: Draws the irregularities and the gains. The first camera has gain one.
    """
    cameras = []
    for index in range(num_cameras):
        azimuth = 2 * np.pi * (index + rng.uniform(-0.15, 0.15)) / num_cameras
        elevation = np.radians(ELEVATIONS[index % len(ELEVATIONS)] + rng.uniform(-4, 4))
        distance = DISTANCE * rng.uniform(0.9, 1.1)
        outward = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        target = centre + rng.uniform(-0.06, 0.06, 3) * radius
        focal = 0.5 * resolution / np.tan(np.arcsin(radius / distance)) * rng.uniform(0.95, 1.0)
        middle = resolution * (0.5 + rng.uniform(-0.01, 0.01, 2))
        intrinsics = np.array([[focal, 0.0, middle[0]], [0.0, focal, middle[1]], [0.0, 0.0, 1.0]])
        exposure = rng.uniform(0.8, 1.12)
        balance = 1 + rng.uniform(-0.025, 0.025, 3)
        gain = np.ones(3) if index == 0 else exposure * balance
        pose = look_at(target + distance * outward, target, roll=np.radians(rng.uniform(-6, 6)))
        cameras.append(RigCamera(f"{index:02d}", intrinsics, pose, resolution, resolution, gain))
    return cameras


def look_at(
    eye: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], *, roll: float = 0.0
) -> Float[np.ndarray, "4 4"]:
    """World-to-camera transform of a camera that looks at a point, upright against z, then rolled (radians)."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    turned_right = np.cos(roll) * right + np.sin(roll) * down
    turned_down = np.cos(roll) * down - np.sin(roll) * right
    result = np.eye(4)
    result[:3, :3] = np.stack([turned_right, turned_down, forward])
    result[:3, 3] = -result[:3, :3] @ eye
    return result
