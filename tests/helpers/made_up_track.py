"""Poses drawn at random within the limits of the joints, and gestures made of bent fingers."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, bend_fingers, joint_axes, joint_limits

# Bend and spread of thumb, index, middle, ring, pinky, radians.
GESTURES = {
    "fist": ([0.9, 1.5, 1.5, 1.5, 1.5], [0.0] * 5),
    "spread": ([0.0] * 5, [0.5, 0.35, 0.1, -0.2, -0.4]),
    "one": ([0.9, 0.0, 1.5, 1.5, 1.5], [0.0] * 5),
    "two": ([0.9, 0.0, 0.0, 1.5, 1.5], [0.0, 0.2, -0.2, 0.0, 0.0]),
    "four": ([1.2, 0.0, 0.0, 0.0, 0.0], [-0.3, 0.2, 0.0, -0.1, -0.2]),
}


def placed(surface: HandSurface, local: list[torch.Tensor], seed: int) -> HandPose:
    """Hands with these local rotations (one [T, 15, 3] a hand), turned any way round, some 0.3 m from the origin."""
    frames, hands = len(local[0]), len(local)
    turns = Rotation.random(frames * hands, random_state=seed).as_rotvec()
    generator = torch.Generator().manual_seed(seed)
    return HandPose(
        global_orient=torch.from_numpy(turns).float().reshape(frames, hands, 3),
        local_rotations=torch.stack(local, 1),
        translation=0.3 * torch.randn(frames, hands, 3, generator=generator),
        valid=torch.ones(frames, hands, dtype=torch.bool),
    )


def random_poses(surface: HandSurface, frames: int, seed: int) -> HandPose:
    """Every angle uniform between its limits."""
    generator = torch.Generator().manual_seed(seed)
    local = []
    for hand in surface.hands:
        low, high = joint_limits(hand).unbind(-1)
        angles = low + (high - low) * torch.rand(frames, 15, 3, generator=generator)
        local.append(angles_to_rotations(joint_axes(hand), angles))
    return placed(surface, local, seed)


def gesture(surface: HandSurface, name: str, frames: int = 4) -> HandPose:
    """A gesture in several placements."""
    flexion, spread = (torch.tensor(values).expand(frames, 5) for values in GESTURES[name])
    return placed(surface, [bend_fingers(hand, flexion, spread) for hand in surface.hands], seed=1)
