"""A hand that swings to and fro, which whoever looks for two seconds can foretell."""

from __future__ import annotations

import math

import torch

from nerfstudio_hands.hand_model import HandPose, default_hand
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes
from nerfstudio_hands.motion.pose_track import PoseTrack


def swinging(
    seconds: float = 4.0, fps: float = 30.0, side: str = "right", *, hertz: float = 0.7, phase: float = 0.0
) -> PoseTrack:
    """Fingers that bend and stretch, a wrist that turns and goes to and fro."""
    times = torch.arange(round(seconds * fps)) / fps
    wave = torch.sin(2 * math.pi * hertz * times + phase)
    angles = torch.zeros(len(times), 15, 3)
    angles[..., 0] = 0.4 + 0.3 * wave[:, None] * torch.linspace(0.5, 1.0, 15)
    local = angles_to_rotations(joint_axes(default_hand(side)), angles)
    orient = torch.stack([0.3 * wave, 0.2 * wave, torch.full_like(wave, 0.5)], dim=1)
    place = torch.stack([0.05 * wave, torch.zeros_like(wave), 0.02 * wave.roll(3)], dim=1)
    valid = torch.ones(len(times), 1, dtype=torch.bool)
    pose = HandPose(orient[:, None], local[:, None], place[:, None], valid)
    return PoseTrack.of_frames(pose, (side,), fps=fps, name=f"swinging {side}")
