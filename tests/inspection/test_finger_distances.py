"""Fingers beside their landmarks are named; a landmark that one of many cameras misses is not taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.moving_hand import made_up_rig, moving_joints, seen

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.inspection.finger_distances import FingerOff, fingers_off, listed

FRAMES, FRAME = 4, 2
THUMB, INDEX = [1, 2, 3, 4], [5, 6, 7, 8]


@pytest.fixture
def joints() -> np.ndarray:
    return moving_joints(FRAMES, reach=0.03)


def looked_at(joints: np.ndarray, detections: np.ndarray | None, cameras: int) -> list[FingerOff]:
    rig = [CaptureCamera(c.name, c.intrinsics, c.world_to_camera, *c.size) for c in made_up_rig(cameras)]
    frames = [f"{t:02d}" for t in range(FRAMES)]
    capture = Capture(Path("made-up"), rig, frames, {}, {}, detections, [], stored_keypoints=joints + 0.03)
    fit = HandFit(
        sides=("right",),
        frames=frames,
        shape=torch.zeros(10),
        displacement=torch.zeros(0, 3),
        pose=HandPose.rest(1, (FRAMES,)),
        camera_rotation={},
        keypoints_3d=joints,
    )
    return fingers_off(capture, fit, joints, capture.camera_names)


def test_what_a_detector_misses_is_no_finger_that_is_off(joints: np.ndarray) -> None:
    assert looked_at(joints, seen(made_up_rig(2), joints, noise=2.0), 2) == []


def test_a_thumb_that_is_bent_elsewhere_is_named(joints: np.ndarray) -> None:
    detections = seen(made_up_rig(2), joints, noise=0.0)
    detections[FRAME, 1, 1, THUMB] += (30.0, 40.0)
    (one,) = looked_at(joints, detections, 2)
    assert (one.camera, one.frame, one.part) == ("1", "02", "right thumb")
    assert one.pixels == pytest.approx(50.0)
    assert listed([one]) == "right thumb 50 px off its landmarks in camera 1, frame 02"


def test_from_three_fingers_on_it_is_the_hand(joints: np.ndarray) -> None:
    detections = seen(made_up_rig(1), joints, noise=0.0)
    detections[FRAME, 0, 1] += 60.0
    (one,) = looked_at(joints, detections, 1)
    assert one.part == "right hand" and one.pixels == pytest.approx(60.0 * np.sqrt(2))


def test_a_landmark_that_one_of_three_cameras_misses_says_nothing_of_the_hand(joints: np.ndarray) -> None:
    detections = seen(made_up_rig(3), joints, noise=0.0)
    detections[FRAME, 0, 1, INDEX] += 60.0
    assert looked_at(joints, detections, 3) == []
    detections[FRAME, 1, 1, INDEX] += 60.0
    assert {(one.camera, one.part) for one in looked_at(joints, detections, 3)} == {
        ("0", "right index"),
        ("1", "right index"),
    }


def test_joints_in_space_are_no_landmarks_of_a_picture(joints: np.ndarray) -> None:
    assert looked_at(joints, None, 2) == []


def test_the_list_says_how_many_there_are_beside() -> None:
    many = [FingerOff("0", f"{t}", "left hand", 30.0, 0.2) for t in range(6)]
    assert listed(many).endswith("; and 2 more")
