"""What a field is told of the pose is scaled by the poses that train, and by no others."""

from __future__ import annotations

import torch
from helpers.made_up_avatar import made_up_avatar

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.model_components.posed_hands import PosedHands


def code(held_out_angle: float) -> tuple[torch.Tensor, torch.Tensor, int]:
    pose = HandPose.rest(1, (3,))
    pose.local_rotations[:, 0, 0, 2] = torch.tensor([0.1, held_out_angle, 0.5])
    pose.global_orient[1] = held_out_angle
    avatar = made_up_avatar(
        HandSurface([default_hand("right")]),
        pose,
        frame_names=list("abc"),
        camera_names=["00"],
        train_frames=torch.tensor([True, False, True]),
    )
    hands = PosedHands(avatar, refine=False)
    return hands.code_middle, hands.code_scale, hands.light_levels


def test_held_out_frames_do_not_scale_the_pose_code():
    middle, scale, levels = code(held_out_angle=0.2)
    # The third number of the first joint goes from 0.1 to 0.5, nothing else moves.
    assert middle[2].item() == torch.tensor(0.3).item() and abs(scale[2].item() - 5.0) < 1e-5
    assert torch.count_nonzero(middle) == 1 and torch.count_nonzero(scale) == 1 and levels > 0
    for angle in (-2.0, 3.0):
        again = code(held_out_angle=angle)
        assert torch.equal(again[0], middle) and torch.equal(again[1], scale) and again[2] == levels
