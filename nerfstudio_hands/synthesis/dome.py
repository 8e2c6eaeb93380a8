"""A capture dome: soft light from the front, darkness behind, and cameras that each see colours in their own way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.synthesis.light import Room, SoftBox, facing_box
from nerfstudio_hands.synthesis.profiles import smoothstep
from nerfstudio_hands.synthesis.rig import RigCamera, look_at

WIDTH, HEIGHT = 334, 512
"""Pixels of every picture of InterHand2.6M."""

DISTANCE = 1.05
"""Metres between cameras and hands, give or take a tenth."""

FRAMED_HEIGHT = 0.36
"""Metres that the picture's height spans at the hands: an outstretched hand fills about half of it."""

FIRST_COLOUR_CAMERA = 400262
FIRST_GREY_CAMERA = 410001
"""Names count up from here, in the ranges that InterHand2.6M uses."""

ELEVATIONS = (8.0, 34.0, -12.0, 20.0, 48.0)
"""Degrees above the horizon of every first, second, ... camera."""

GOLDEN_TURN = 0.618034
"""Cameras follow each other by this share of a turn: any number of them surrounds the hands evenly."""

SENSOR_NOISE = 0.8 / 255
"""Standard deviation of the noise on pixel values."""


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


def dome(centre: Float[np.ndarray, "3"], rng: np.random.Generator) -> Dome:
    """Three soft boxes at slightly random places around the hands; world z is up."""
    # (azimuth, elevation in degrees, distance in metres, half a side, radiance)
    plan = (
        (-70.0, 52.0, 1.3, 0.26, 15.0),
        (48.0, 36.0, 1.35, 0.26, 9.5),
        (168.0, 40.0, 1.3, 0.26, 11.5),
    )
    boxes = []
    for azimuth, elevation, distance, half, radiance in plan:
        direction = [azimuth, elevation] + rng.uniform(-8, 8, 2)
        warmth = 1 + rng.uniform(-0.04, 0.04)
        colour = radiance * np.array([warmth, 1.0, 1 / warmth])
        # Single precision keeps the shading of many samples in it, which halves its time.
        box = facing_box(centre, direction, distance, half, colour)
        boxes.append(SoftBox(*(values.astype(np.float32) for values in (box.centre, box.right, box.up, box.radiance))))
    return Dome(tuple(boxes), centre)


@dataclass(frozen=True)
class DomeCamera(RigCamera):
    """A camera with a colour response: stored value = gain * value ^ gamma + bias, clipped to [0, 1]."""

    bias: Float[np.ndarray, "3"]
    gamma: float
    is_grey: bool
    """Stores the mean of the three colours only."""

    def develop(
        self, values: Float[np.ndarray, "H W 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "H W *channels"]:
        """Pixel values as the camera stores them: its response, some noise, 8 bits."""
        stored = self.gain * np.clip(values, 0, None) ** self.gamma + self.bias
        stored = stored.mean(-1) if self.is_grey else stored
        return np.round(255 * np.clip(stored + rng.normal(0, SENSOR_NOISE, stored.shape), 0, 1)).astype(np.uint8)


def dome_cameras(
    centre: Float[np.ndarray, "3"], *, num_colour: int, num_grey: int, rng: np.random.Generator
) -> list[DomeCamera]:
    """Cameras all around the hands, slightly irregular as rigs are, colour cameras first; world z is up.

    The first colour camera has the neutral response.
    """
    cameras = []
    for index in range(num_colour + num_grey):
        is_grey = index >= num_colour
        azimuth = 2 * np.pi * ((GOLDEN_TURN * index + 0.72) % 1.0) + np.radians(rng.uniform(-6, 6))
        elevation = np.radians(ELEVATIONS[index % len(ELEVATIONS)] + rng.uniform(-4, 4))
        distance = DISTANCE * rng.uniform(0.9, 1.1)
        outward = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        target = centre + rng.uniform(-0.008, 0.008, 3)
        focal = HEIGHT / FRAMED_HEIGHT * distance * rng.uniform(0.97, 1.03)
        middle = np.array([WIDTH, HEIGHT]) * (0.5 + rng.uniform(-0.02, 0.02, 2))
        intrinsics = np.array([[focal, 0.0, middle[0]], [0.0, focal * 1.001, middle[1]], [0.0, 0.0, 1.0]])
        gain = rng.uniform(0.86, 1.08) * (1 + rng.uniform(-0.04, 0.04, 3))
        bias = rng.uniform(-0.008, 0.012, 3)
        gamma = rng.uniform(0.93, 1.07)
        if index == 0:
            gain, bias, gamma = np.ones(3), np.zeros(3), 1.0
        cameras.append(
            DomeCamera(
                name=str(FIRST_GREY_CAMERA + index - num_colour if is_grey else FIRST_COLOUR_CAMERA + index),
                intrinsics=intrinsics,
                world_to_camera=look_at(target + distance * outward, target, roll=np.radians(rng.uniform(-6, 6))),
                width=WIDTH,
                height=HEIGHT,
                gain=gain,
                bias=bias,
                gamma=float(gamma),
                is_grey=is_grey,
            )
        )
    return cameras
