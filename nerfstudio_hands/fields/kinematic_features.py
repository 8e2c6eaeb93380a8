"""What the skeleton says of a point: where it is, seen from each bone or joint (after gSDF, CVPR 2023).

Transforms lead from the frame of a bone to that of the points, see `hand_model.bone_frames`; gradients reach
points, transforms and joints.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

HAND_FEATURES = 51
OBJECT_FEATURES = 72


def hand_features(points: Float[Tensor, "N 3"], bones: Float[Tensor, "N 16 4 4"]) -> Float[Tensor, "N 51"]:
    """Position, and position in the frames of the 16 bones, meters.

    Args:
        points: Query points.
        bones: Frames of the bones of each point's hand, MANO order.
    """
    return torch.cat([points, in_frames(points, bones).flatten(1)], dim=-1)


def object_features(
    points: Float[Tensor, "N 3"],
    held: Float[Tensor, "N 4 4"],
    wrist: Float[Tensor, "N 4 4"],
    joints: Float[Tensor, "N 21 3"],
) -> Float[Tensor, "N 72"]:
    """Position, position in the frames of the object and of the wrist, and offsets from the 21 joints, meters.

    Args:
        points: Query points.
        held: Frame of the object.
        wrist: Frame of the wrist of the hand that holds it.
        joints: The joints of that hand.
    """
    seen = in_frames(points, torch.stack([held, wrist], dim=1))
    return torch.cat([points, seen.flatten(1), (points[:, None] - joints).flatten(1)], dim=-1)


def in_frames(points: Float[Tensor, "N 3"], frames: Float[Tensor, "N J 4 4"]) -> Float[Tensor, "N J 3"]:
    """Points in rigid frames of their own, whose inverse needs no solving."""
    return ((points[:, None] - frames[..., :3, 3])[..., None, :] @ frames[..., :3, :3])[..., 0, :]
