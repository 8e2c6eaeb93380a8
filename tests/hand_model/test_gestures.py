"""Gestures: fingers where their names have them."""

import numpy as np
import torch

from nerfstudio_hands.hand_model import gestures
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand


def _keypoints(gesture: np.ndarray) -> np.ndarray:
    model = default_hand("right")
    local = angles_to_rotations(joint_axes(model), torch.from_numpy(np.radians(gesture)).float())
    return pose_hand(model, torch.zeros(1, 3), local[None], torch.zeros(1, 3), torch.zeros(1)).keypoints[0].numpy()


def test_gestures_look_like_their_names():
    tips, opened = [8, 12, 16, 20], _keypoints(gestures.OPEN)
    reach = np.linalg.norm(opened[tips] - opened[0], axis=1)
    fist = _keypoints(gestures.FIST)
    assert (np.linalg.norm(fist[tips] - fist[0], axis=1) < 0.65 * reach).all()
    spread = _keypoints(gestures.SPREAD)
    assert np.linalg.norm(spread[8] - spread[20]) > np.linalg.norm(opened[8] - opened[20]) + 0.02
    for finger, tip in zip(("index", "middle", "ring", "pinky"), tips, strict=True):
        pinched = _keypoints(gestures.pinch(finger))
        assert np.linalg.norm(pinched[4] - pinched[tip]) < 0.015
        bent = _keypoints(gestures.flexed(finger))
        shortened = np.linalg.norm(bent[tips] - bent[0], axis=1) < 0.75 * reach
        assert shortened.tolist() == [other == tip for other in tips]
    for number in range(1, 5):
        counted = _keypoints(gestures.counting(number))
        up = np.linalg.norm(counted[tips] - counted[0], axis=1) > 0.9 * reach
        assert up.tolist() == [k < number for k in range(4)]
