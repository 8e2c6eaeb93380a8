"""Predicted hands are laid on what pictures show of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfstudio_hands.fitting.joints.seen_joints import lay_on_images, on_rays
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand

INTRINSICS = np.array([[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]])
COUNT = 4


def posed(rotations: torch.Tensor, place: list[float]) -> np.ndarray:
    hand = default_hand("right")
    shape = torch.zeros(len(rotations), 10)
    places = torch.tensor(place).expand(len(rotations), 3)
    return pose_hand(hand, rotations[:, 0], rotations[:, 1:], places, shape).keypoints.double().numpy()


@pytest.mark.parametrize("times", [None, [0.0, 0.04, 0.08, 0.12]])
def test_joints_come_to_their_pixels_and_the_form_comes_nearer(times):
    generator = torch.Generator().manual_seed(0)
    still = torch.cat([torch.tensor([[0.3, 0.2, 0.1]]), 0.3 * torch.randn(15, 3, generator=generator)])
    rotations = still.expand(COUNT, 16, 3).clone()
    rotations[:, 0, 0] += 0.02 * torch.arange(COUNT)
    truth = posed(rotations, [0.02, 0.01, 0.5])
    pixels = truth @ INTRINSICS.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    said = posed(rotations + 0.15 * torch.randn(COUNT, 16, 3, generator=generator), [0.03, 0.0, 0.52])
    matrices = np.repeat(INTRINSICS[None], COUNT, 0)
    points, precision = on_rays(said[:, None], pixels[:, None], np.ones((COUNT, 1, 21)), matrices)
    surface = HandSurface([default_hand("right")])
    pose = lay_on_images(surface, points, precision, torch.zeros(10), None if times is None else torch.tensor(times))
    found = posed(torch.cat([pose.global_orient, pose.local_rotations[:, 0]], 1), [0.0, 0.0, 0.0])
    found = found + pose.translation.double().numpy()
    seen = found @ INTRINSICS.T
    off = np.linalg.norm(seen[..., :2] / seen[..., 2:] - pixels, axis=-1).mean()
    was, now = (
        np.linalg.norm(joints - joints[:, 9:10] - (truth - truth[:, 9:10]), axis=-1).mean() for joints in (said, found)
    )
    assert off < 2.5 and now < 0.6 * was
