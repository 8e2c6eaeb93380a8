"""The pose of one frame of a capture, for commands that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import require_range

if TYPE_CHECKING:
    from nerfstudio_hands.hand_model import HandPose
    from nerfstudio_hands.model_components.posed_hands import PosedHands


def frame_pose(hands: PosedHands, frame: int) -> HandPose:
    """Poses [1, H, ...] of a frame, capture's world.

    Raises:
        HandsError: The run has no such frame, or no hand was fitted there.
    """
    require_range("--frame", frame, 0, hands.num_frames - 1)
    pose = hands.pose_of(torch.tensor([frame], device=hands.valid.device))
    if not pose.valid.any():
        raise HandsError(f"--frame: expected a frame that shows a hand, found none fitted in {frame}: choose another.")
    return pose
