"""Where cameras of a capture see points, apart from the package's own projection."""

from __future__ import annotations

import numpy as np

from nerfstudio_hands.captures.capture import Capture


def project(capture: Capture, name: str, points: np.ndarray) -> np.ndarray:
    camera = capture.camera(name)
    in_camera = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    pixels = in_camera @ camera.intrinsics.T
    return pixels[..., :2] / pixels[..., 2:]
