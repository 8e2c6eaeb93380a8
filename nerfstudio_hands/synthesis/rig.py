"""Cameras that stand around the hands, each with its own lens and its own response to color, and the room's light."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.synthesis.light import Room
from nerfstudio_hands.transforms.projection import project

SENSOR_NOISE = 0.8 / 255
"""Standard deviation of the noise on pixel values."""


@dataclass(frozen=True)
class RigCamera(CaptureCamera):
    """A camera with a color response: stored value = gain * value ^ gamma + bias, clipped to [0, 1].

    Attributes:
        gain: Factor on red, green and blue.
        bias: Added to them.
        gamma: Exponent of all three.
        is_gray: Stores the mean of the three colors only.
    """

    gain: Float[np.ndarray, "3"]
    bias: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    gamma: float = 1.0
    is_gray: bool = False

    def project(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 2"]:
        """Pixels of world points."""
        return project(points, self.intrinsics, self.world_to_camera)[0]

    def develop(
        self, values: Float[np.ndarray, "H W 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "H W *channels"]:
        """Pixel values as the camera stores them: its response, some noise, 8 bits."""
        stored = self.gain * np.clip(values, 0, None) ** self.gamma + self.bias
        stored = stored.mean(-1) if self.is_gray else stored
        return np.round(255 * np.clip(stored + rng.normal(0, SENSOR_NOISE, stored.shape), 0, 1)).astype(np.uint8)


@dataclass(frozen=True)
class CameraRig:
    """Cameras and the room that they stand in."""

    room: Room
    cameras: list[RigCamera]


def pinhole(focal: tuple[float, float], principal_point: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3 3"]:
    """Intrinsics in pixels."""
    return np.array([[focal[0], 0.0, principal_point[0]], [0.0, focal[1], principal_point[1]], [0.0, 0.0, 1.0]])


def look_at(
    eye: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], *, roll: float = 0.0
) -> Float[np.ndarray, "4 4"]:
    """World-to-camera transform of a camera that looks at a point, upright against z, then rolled (radians)."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rolled_right = np.cos(roll) * right + np.sin(roll) * down
    rolled_down = np.cos(roll) * down - np.sin(roll) * right
    result = np.eye(4)
    result[:3, :3] = np.stack([rolled_right, rolled_down, forward])
    result[:3, 3] = -result[:3, :3] @ eye
    return result
