"""Cameras on a circle round the hands."""

from __future__ import annotations

import math

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox

FILL = 0.75
"""The picture shows this many times the diagonal of the box round the hands: corners of a box are empty."""


def orbit_cameras(
    scene_box: SceneBox,
    *,
    num_cameras: int,
    width: int,
    height: int,
    elevation: float = 20.0,
    rise: float = 0.0,
    fov: float = 25.0,
) -> Cameras:
    """Cameras that circle once round the vertical axis and look at the middle of the scene box.

    Args:
        scene_box: box round the hands, metres, z up.
        num_cameras: cameras on the circle.
        width: picture width in pixels.
        height: picture height in pixels.
        elevation: angle above the horizon in degrees, of the first camera.
        rise: degrees by which the way climbs up to the last camera: a circle becomes a spiral.
        fov: vertical field of view in degrees.
    """
    center = scene_box.aabb.mean(dim=0)
    radius = float((scene_box.aabb[1] - scene_box.aabb[0]).norm()) / 2
    half_angle = math.radians(fov) / 2 * min(1.0, width / height)
    distance = FILL * radius / math.tan(half_angle)
    azimuth = torch.linspace(0, 2 * math.pi, num_cameras + 1)[:-1]
    up = torch.deg2rad(torch.linspace(elevation, elevation + rise, num_cameras))
    backward = torch.stack([azimuth.cos() * up.cos(), azimuth.sin() * up.cos(), up.sin()], dim=-1)
    right = torch.nn.functional.normalize(
        torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]).expand_as(backward), backward), dim=-1
    )
    poses = torch.stack([right, torch.linalg.cross(backward, right), backward, center + distance * backward], dim=-1)
    focal = height / 2 / math.tan(math.radians(fov) / 2)
    return Cameras(camera_to_worlds=poses, fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)
