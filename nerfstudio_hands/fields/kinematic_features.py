"""What the skeleton says of a point: where it is, seen from each bone or joint (after gSDF, CVPR 2023).

Transforms lead from the frame of a bone to that of the points, see `hand_model.bone_frames`; gradients reach
points, transforms and joints. Each of B hands, or of what they hold, is asked at P points.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

HAND_FEATURES = 51
OBJECT_FEATURES = 72


def hand_features(points: Float[Tensor, "*B P 3"], bones: Float[Tensor, "*B J 4 4"]) -> Float[Tensor, "*B P F"]:
    """Position, and position in the frames of J bones, meters: F is 3 + 3 J, 51 of all 16.

    Args:
        points: Query points.
        bones: Frames of bones of the points' hand.
    """
    return torch.cat([points, in_frames(points, bones).flatten(-2)], dim=-1)


def object_features(
    points: Float[Tensor, "*B P 3"],
    frames: Float[Tensor, "*B J 4 4"],
    joints: Float[Tensor, "*B K 3"],
) -> Float[Tensor, "*B P F"]:
    """Position, position in J frames, and offsets from K joints, meters: F is 3 + 3 J + 3 K, 72 of the frames of the
    object and the wrist and all 21 joints.

    Args:
        points: Query points.
        frames: Of the object, and of the wrist of the hand that holds it.
        joints: Of that hand.
    """
    seen, offsets = in_frames(points, frames), points[..., :, None, :] - joints[..., None, :, :]
    return torch.cat([points, seen.flatten(-2), offsets.flatten(-2)], dim=-1)


def in_frames(points: Float[Tensor, "*B P 3"], frames: Float[Tensor, "*B J 4 4"]) -> Float[Tensor, "*B P J 3"]:
    """Points in rigid frames, whose inverse needs no solving."""
    offsets = points[..., None, :, :] - frames[..., :3, 3][..., None, :]
    return (offsets @ frames[..., :3, :3]).transpose(-3, -2)
