"""What a fit says of the hands of a capture, as labels of pictures have it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_images.formats.capture_hands import KnownHands
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.surface import HandSurface


def known_hands(fit: HandFit, surface: HandSurface, source: str) -> KnownHands:
    """Joints of the hand model and rotations of every frame.

    Args:
        fit: Of a capture.
        surface: Of the hands that were fitted.
        source: Where the hand model comes from, as `load_hand` takes it.
    """
    frames = len(fit.frames)
    joints, rotations = (np.full((frames, 2, count, 3), np.nan, np.float32) for count in (21, 16))
    posed = surface.pose(fit.pose, fit.shape, fit.displacement)
    turns = torch.cat([fit.pose.global_orient[..., None, :], fit.pose.local_rotations], dim=-2)
    for column, side in enumerate(fit.sides):
        there = fit.pose.valid[:, column].numpy()
        joints[there, SIDES.index(side)] = posed.keypoints[:, column].numpy()[there]
        rotations[there, SIDES.index(side)] = turns[:, column].numpy()[there]
    return KnownHands(source, joints, rotations, fit.shape.numpy())


def corrected_cameras(capture: Capture, fit: HandFit) -> Capture:
    """The capture with its cameras turned by what the fit found."""
    return replace(capture, cameras=[fit.corrected(camera) for camera in capture.cameras])
