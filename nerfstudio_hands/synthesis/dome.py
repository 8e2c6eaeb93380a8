"""A capture dome: soft light from the front, darkness behind, and cameras that each see colors in their own way."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.synthesis.light import Room, SoftBox, facing_box, outward
from nerfstudio_hands.synthesis.profiles import smoothstep
from nerfstudio_hands.synthesis.rig import RigCamera, look_at, pinhole

WIDTH, HEIGHT = 334, 512
"""Pixels of every picture of InterHand2.6M."""

DISTANCE = 1.05
"""Meters between cameras and hands, give or take a tenth."""

FRAMED_HEIGHT = 0.36
"""Meters that the picture's height spans at the hands: an outstretched hand fills about half of it."""

FIRST_COLOR_CAMERA = 400262
FIRST_GRAY_CAMERA = 410001
"""Names count up from here, in the ranges that InterHand2.6M uses."""

ELEVATIONS = (8.0, 34.0, -12.0, 20.0, 48.0)
"""Degrees above the horizon of every first, second, ... camera."""

GOLDEN_TURN = 0.618034
"""Cameras follow each other by this fraction of a turn: any number of them surrounds the hands evenly."""


class Dome(Room):
    """Soft boxes in a dark dome whose many small lamps add an even light from above."""

    def walls(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Radiance of the small lamps, spread out evenly; z is up."""
        above = smoothstep(-0.7, 0.9, directions[:, 2])[:, None]
        return np.array([0.11, 0.115, 0.12]) + above * np.array([0.25, 0.25, 0.245])

    def background(self, directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """What a camera sees behind the hands: the black inside of the dome, a little lighter above."""
        above = smoothstep(-0.6, 0.8, directions[:, 2])[:, None]
        return np.array([0.0020, 0.0022, 0.0026]) + above * np.array([0.0022, 0.0022, 0.0022])


def dome(center: Float[np.ndarray, "3"], rng: np.random.Generator) -> Dome:
    """Three soft boxes at slightly random places around the hands; world z is up."""
    # (azimuth, elevation in degrees, distance in meters, half a side, radiance)
    plan = (
        (-70.0, 52.0, 1.3, 0.26, 15.0),
        (48.0, 36.0, 1.35, 0.26, 9.5),
        (168.0, 40.0, 1.3, 0.26, 11.5),
    )
    boxes = []
    for azimuth, elevation, distance, half, radiance in plan:
        direction = [azimuth, elevation] + rng.uniform(-8, 8, 2)
        warmth = 1 + rng.uniform(-0.04, 0.04)
        color = radiance * np.array([warmth, 1.0, 1 / warmth])
        # Single precision keeps the shading of many samples in it, which halves its time.
        box = facing_box(center, direction, distance, half, color)
        boxes.append(SoftBox(*(values.astype(np.float32) for values in (box.center, box.right, box.up, box.radiance))))
    return Dome(tuple(boxes), center)


def dome_cameras(
    center: Float[np.ndarray, "3"], *, num_color: int, num_gray: int, rng: np.random.Generator
) -> list[RigCamera]:
    """Cameras all around the hands, slightly irregular as rigs are, color cameras first; world z is up.

    The first color camera has the neutral response.
    """
    cameras = []
    for index in range(num_color + num_gray):
        is_gray = index >= num_color
        azimuth = 2 * np.pi * ((GOLDEN_TURN * index + 0.72) % 1.0) + np.radians(rng.uniform(-6, 6))
        elevation = np.radians(ELEVATIONS[index % len(ELEVATIONS)] + rng.uniform(-4, 4))
        distance = DISTANCE * rng.uniform(0.9, 1.1)
        target = center + rng.uniform(-0.008, 0.008, 3)
        focal = HEIGHT / FRAMED_HEIGHT * distance * rng.uniform(0.97, 1.03)
        principal_point = np.array([WIDTH, HEIGHT]) * (0.5 + rng.uniform(-0.02, 0.02, 2))
        gain = rng.uniform(0.86, 1.08) * (1 + rng.uniform(-0.04, 0.04, 3))
        bias = rng.uniform(-0.008, 0.012, 3)
        gamma = rng.uniform(0.93, 1.07)
        if index == 0:
            gain, bias, gamma = np.ones(3), np.zeros(3), 1.0
        eye = target + distance * outward(azimuth, elevation)
        cameras.append(
            RigCamera(
                name=str(FIRST_GRAY_CAMERA + index - num_color if is_gray else FIRST_COLOR_CAMERA + index),
                intrinsics=pinhole((focal, focal * 1.001), principal_point),
                world_to_camera=look_at(eye, target, roll=np.radians(rng.uniform(-6, 6))),
                width=WIDTH,
                height=HEIGHT,
                gain=gain,
                bias=bias,
                gamma=float(gamma),
                is_gray=is_gray,
            )
        )
    return cameras
