"""When light transfer is worked out, and how much of it is kept."""

from __future__ import annotations

import pytest
import torch
from helpers.made_up_avatar import made_up_avatar

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.model_components import posed_hands
from nerfstudio_hands.model_components.posed_hands import PosedHands


def hands_in(pose: HandPose) -> PosedHands:
    frames = [str(frame) for frame in range(len(pose.valid))]
    avatar = made_up_avatar(HandSurface((default_hand("right"),)), pose, frame_names=frames, camera_names=["00"])
    return PosedHands(avatar, refine=False).eval()


@pytest.mark.parametrize(("degrees", "light"), [(0.0, 0), (1.0, 0), (10.0, 16), (172.0, 16), (360.0, 0)])
def test_a_wrist_that_turns_faces_other_lights(degrees: float, light: int) -> None:
    pose = HandPose.rest(1, (2,))
    pose.global_orient[1, 0, 1] = degrees * torch.pi / 180
    assert hands_in(pose).light_dim == light


def test_an_absent_hand_turns_nothing() -> None:
    pose = HandPose.rest(1, (2,))
    pose.global_orient[1, 0, 1] = 2.0
    pose.valid[1] = False
    assert hands_in(pose).light_dim == 0


def test_light_of_frames_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pose = HandPose.rest(1, (6,))
    pose.global_orient[:, 0, 1] = torch.arange(6) * 0.5
    hands = hands_in(pose)
    whole = [hands.at_frame(frame).light for frame in range(6)]
    assert len(hands._frame_light) == 6
    bytes_of_frame = 2 * whole[0].numel()  # Half precision.
    monkeypatch.setattr(posed_hands, "FRAME_LIGHT_BYTES", 3 * bytes_of_frame)
    hands = hands_in(pose)
    for frame in (0, 1, 2, 3, 4, 5, 0):
        torch.testing.assert_close(hands.at_frame(frame).light, whole[frame])
        assert sum(light.numel() * 2 for light in hands._frame_light.values()) <= 3 * bytes_of_frame
    assert set(hands._frame_light) == {4, 5, 0}
