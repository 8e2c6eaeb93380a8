"""Labels that follow from joints in space."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.transforms.projection import project

MIDDLE_BONE = (9, 10)
"""Joints between which bone lengths are given."""


def labels_of_joints(
    side: str, joints: Float32[np.ndarray, "21 3"], intrinsics: Float[np.ndarray, "3 3"], **known: Any
) -> HandLabels:
    """Labels with pixels, their confidence, the box round them and the length of the middle bone.

    Args:
        side: ``left`` or ``right``.
        joints: In the camera's frame, meters.
        intrinsics: K of the picture, pixels.
        known: What else is known, see `HandLabels`.
    """
    intrinsics = intrinsics.astype(np.float64)
    pixels = project(joints.astype(np.float64), intrinsics, np.eye(4))[0].astype(np.float32)
    start, end = MIDDLE_BONE
    return HandLabels(
        side=side,
        intrinsics=intrinsics,
        joints=joints,
        pixels=pixels,
        confidence=np.ones(len(pixels), np.float32),
        bone_length=float(np.linalg.norm(joints[end] - joints[start])),
        box=np.concatenate([pixels.min(0), pixels.max(0)]),
        **known,
    )
