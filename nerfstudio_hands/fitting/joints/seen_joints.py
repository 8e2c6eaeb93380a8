"""Hands that a network said of single pictures, laid on what the pictures show: joints go onto their rays, the form
between them is the network's, and the hands of a film move smoothly."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.fitting.joints.joint_track import ANNOTATION_METERS, fit_joint_track
from nerfstudio_hands.fitting.joints.smoothing import smooth_track
from nerfstudio_hands.fitting.variables import Variables
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.hand_model.surface import HandPose
from nerfstudio_hands.program.threads import one_thread

LEAST_METERS = 0.002
"""Error of a joint across its ray, however sure a network is."""

DEPTH_METERS = 0.010
"""Error along the ray of a joint in the form that the network gives a hand."""


def on_rays(
    joints: Float[np.ndarray, "T H 21 3"],
    pixels: Float[np.ndarray, "T H 21 2"],
    error: Float[np.ndarray, "T H 21"],
    intrinsics: Float[np.ndarray, "T 3 3"],
) -> tuple[Float[Tensor, "T H 21 3"], Float[Tensor, "T H 21 3 3"]]:
    """Joints where the picture shows them, as deep as the network says, and how well each is known.

    Args:
        joints: Camera's frame (OpenCV axes), metres; NaN where there is no hand.
        pixels: Of the joints in the picture.
        error: Of the pixels, pixels.
        intrinsics: K of each picture.

    Returns:
        Points, and the precision that `fit_joint_track` takes.
    """
    ahead = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)
    rays = np.einsum("tij,thkj->thki", np.linalg.inv(intrinsics), ahead)
    points = rays * joints[..., 2:]
    along = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    toward = along[..., :, None] * along[..., None, :]
    across = np.maximum(LEAST_METERS, error * joints[..., 2] / intrinsics[:, None, None, 0, 0])[..., None, None]
    precision = ANNOTATION_METERS * ((np.eye(3) - toward) / across + toward / DEPTH_METERS)
    return torch.from_numpy(points), torch.from_numpy(np.nan_to_num(precision))


def lay_on_images(
    surface: HandSurface,
    points: Float[Tensor, "T H 21 3"],
    precision: Float[Tensor, "T H 21 3 3"],
    shape: Float[Tensor, " K"],
    times: Float[Tensor, " T"] | None = None,
) -> HandPose:
    """Poses whose joints are where pictures show them.

    Args:
        surface: The H hands.
        points: See `on_rays`.
        precision: See `on_rays`.
        shape: Of the person.
        times: Seconds, ascending, of a film's pictures, whose poses are then smooth; None for single pictures.

    Raises:
        HandsError: No picture has a hand.
    """
    with one_thread():
        pose = fit_joint_track(surface, points, precision=precision, shape=shape).pose
        if times is None:
            return pose
        state = Variables(
            pose.global_orient,
            pose.local_rotations,
            pose.translation,
            shape.float(),
            torch.zeros(surface.num_vertices, 3),
            torch.zeros(1, 3),
            torch.zeros(1),
            torch.zeros(21, 3),
            pose.valid,
        )
        free = torch.ones(len(times), dtype=torch.bool)
        return smooth_track(surface, points, precision, state, times, free).pose
