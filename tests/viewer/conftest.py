"""Hands, and a viewer without a browser that shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.fake_viewer import FakeServer
from helpers.made_up_avatar import made_up_avatar
from nerfstudio.data.scene_box import SceneBox

from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, default_hand
from nerfstudio_hands.model_components.posed_hands import PosedHands
from nerfstudio_hands.viewer.pose_controls import PoseControls


@pytest.fixture
def hands() -> PosedHands:
    """Two hands in three frames; the index of the right hand is bent more from frame to frame."""
    surface = HandSurface([default_hand(side) for side in SIDES])
    pose = HandPose.rest(2, (3,))
    pose.local_rotations[:, 1, 0, 2] = torch.tensor([0.2, 0.5, 0.8])
    world_transform = torch.eye(4)[:3]
    world_transform[:, 3] = torch.tensor([0.1, -0.2, 0.3])
    avatar = made_up_avatar(
        surface, pose, frame_names=["10", "20", "30"], camera_names=["00"], world_transform=world_transform
    )
    return PosedHands(avatar, refine=True).eval()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def controls(hands: PosedHands, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PoseControls:
    """Controls of a viewer that was started in an empty folder."""
    monkeypatch.chdir(tmp_path)
    controls = PoseControls(hands, ["10", "20", "30"], SceneBox(torch.tensor([[-0.1] * 3, [0.1] * 3])))
    controls.install(server)
    return controls
