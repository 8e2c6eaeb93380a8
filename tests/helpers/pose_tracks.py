"""A made-up pose track, and whether poses are the same."""

from __future__ import annotations

import torch

from nerfstudio_hands.hand_model import SIDES, HandPose
from nerfstudio_hands.motion.pose_track import PoseTrack


def made_up_track(num_keys: int = 4, sides: tuple[str, ...] = SIDES) -> PoseTrack:
    """Hands in poses without any order, at uneven times."""
    random = torch.Generator().manual_seed(num_keys)
    shape = (num_keys, len(sides))
    pose = HandPose(
        global_orient=torch.randn(*shape, 3, generator=random),
        local_rotations=torch.randn(*shape, 15, 3, generator=random) * 0.6,
        translation=torch.randn(*shape, 3, generator=random),
        valid=torch.ones(shape, dtype=torch.bool),
    )
    times = torch.rand(num_keys, generator=random).cumsum(0)
    return PoseTrack(sides, pose, times - times[0], "made up")


def assert_same(first: HandPose, second: HandPose) -> None:
    for name in ("global_orient", "local_rotations", "translation", "valid"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=1e-5, rtol=0)
