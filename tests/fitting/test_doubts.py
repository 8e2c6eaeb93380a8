"""Few cameras, wrong cameras and detections of no hand: what is said, and who is named."""

from __future__ import annotations

import pytest
import torch
from helpers.made_up_rig import detect, made_up_joints, ring_of_cameras
from scipy.spatial.transform import Rotation

from nerfstudio_hands.fitting.doubts import doubts, exchanged_sides, outlying_cameras
from nerfstudio_hands.fitting.joints.triangulate import Triangulation, triangulate


def seen_by(count: int, *, degrees: float = 0.0, shift: float = 0.0) -> tuple[Triangulation, list[str]]:
    """Two hands seen by some cameras, the calibration of the last of which is turned or shifted."""
    intrinsics, extrinsics = ring_of_cameras(count)
    calibrated = extrinsics.clone()
    turn = Rotation.from_rotvec([0.0, degrees, 0.5 * degrees], degrees=True).as_matrix()
    calibrated[-1, :3] = torch.from_numpy(turn) @ calibrated[-1, :3]
    calibrated[-1, :3, 3] += shift
    detections = detect(made_up_joints(0), intrinsics, extrinsics, noise=2.0)
    return triangulate(detections, intrinsics, calibrated), [f"{index:02d}" for index in range(count)]


@pytest.mark.parametrize("count", [3, 4, 8])
@pytest.mark.parametrize("fault", [{"degrees": 20.0}, {"shift": 0.05}, {"shift": 0.2}])
def test_of_three_cameras_the_wrong_one_is_named(count: int, fault: dict) -> None:
    found, names = seen_by(count, **fault)
    assert outlying_cameras(found, names) == names[-1:]
    said = doubts(found, names, 3.0)
    assert f"Detections of camera {names[-1]} disagree" in said[0]
    assert any("two cannot check each other" in sentence for sentence in said) == (count == 3)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_nothing_is_said_of_a_good_capture(count: int) -> None:
    found, names = seen_by(count)
    assert doubts(found, names, 3.0) == []


def test_two_cameras_cannot_check_each_other() -> None:
    found, names = seen_by(2)
    assert outlying_cameras(found, names) == []
    (said,) = doubts(found, names, 3.0)
    assert "cameras 00 and 01" in said and "add a third" in said


def test_joints_that_are_no_hand_are_said_with_their_cameras() -> None:
    found, names = seen_by(4)
    (said,) = doubts(found, names, 31.0)
    assert "31 mm" in said and "cameras 00, 01, 02, 03" in said


def test_a_camera_that_is_turned_far_is_said() -> None:
    found, names = seen_by(8, degrees=2.0)
    assert any("03" not in sentence and "07 (" in sentence for sentence in doubts(found, names, 3.0))


def test_a_side_is_advised_where_most_frames_of_the_hand_say_so_and_not_of_a_doubtful_one() -> None:
    frames = [f"{t:02d}" for t in range(30)]
    error = torch.full((30, 1), 0.005)
    few, most = torch.zeros(2, 30, 1, dtype=torch.bool)
    few[0], most[:20] = True, True
    (said,) = exchanged_sides(error, few, frames, ["right"])
    assert "look like those of a left one in 1 of 30 frames (00)" in said and "the other frames say right" in said
    assert "name them" not in said and "exchange" not in said
    (said,) = exchanged_sides(error, most, frames, ["right"])
    assert "are those of a left one in 20 of 30 frames" in said and "name them left, or exchange them" in said
    # Of a hand that is nowhere else, its frames are all that there is.
    error[1:] = torch.nan
    assert "name them left" in exchanged_sides(error, few, frames, ["right"])[0]
