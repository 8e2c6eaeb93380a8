"""Joints under the name of the wrong hand are found and not trusted; the other frames are fitted as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.moving_hand import made_up_rig, moving_joints, seen

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions, fit_capture
from nerfstudio_hands.fitting.capture_joints import fit_capture_joints
from nerfstudio_hands.fitting.joints import pose_fit

WRONG, OUT = 5, 7
MIRROR = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """Of a right hand, with some scatter; one frame has those of a left hand under its name."""
    found = moving_joints(12, reach=0.03)
    found += np.random.default_rng(0).normal(0, 0.002, found.shape)
    middle = found[WRONG, 1].mean(0)
    found[WRONG, 1] = middle + MIRROR * (found[WRONG, 1] - middle)
    return found


def capture_of(joints: np.ndarray | None, detections: np.ndarray | None, count: int, cameras: int = 4) -> Capture:
    rig = [CaptureCamera(c.name, c.intrinsics, c.world_to_camera, *c.size) for c in made_up_rig(cameras)]
    frames = [str(t) for t in range(count)]
    images = {(frame, camera.name): Path("unread.png") for frame in frames for camera in rig}
    return Capture(Path("made-up"), rig, frames, images, {}, detections, [], stored_keypoints=joints)


def test_a_hand_with_the_other_hand_s_joints_is_named_and_left_out(joints: np.ndarray) -> None:
    given = joints.copy()
    given[OUT] += (0.0, 0.0, 40.0)
    capture = capture_of(given, None, len(given))
    fit = fit_capture_joints(capture, FitOptions(capture.camera_names, refine_masks=False))
    assert fit.sides == ("right",)
    assert fit.pose.valid[:, 0].tolist() == [t != WRONG for t in range(len(given))]
    exchanged, out_of_sight = fit.report["doubts"]
    assert exchanged.startswith(f"Joints of the right hand look like those of a left one in 1 of 12 frames ({WRONG})")
    assert "the other frames say right" in exchanged and "name them" not in exchanged
    assert f"joints of 1 of 12 frames ({OUT}) lie outside of all pictures" in out_of_sight
    assert fit.report["joint_error_mm"]["mean"] < 4


def test_right_joints_are_trusted() -> None:
    given = moving_joints(12, reach=0.03) + np.random.default_rng(0).normal(0, 0.003, (12, 2, 21, 3))
    capture = capture_of(given, None, len(given))
    fit = fit_capture_joints(capture, FitOptions(capture.camera_names, refine_masks=False))
    assert fit.pose.valid.all() and fit.report["doubts"] == []


def test_detections_under_the_wrong_name_make_no_second_hand(joints: np.ndarray, monkeypatch) -> None:
    minimize = pose_fit.minimize
    monkeypatch.setattr(pose_fit, "minimize", lambda *args, iterations: minimize(*args, iterations=3))
    right = moving_joints(12, reach=0.03)[4:7]
    given = np.concatenate([right, right[:1] * np.nan])
    given[1, 0], given[1, 1] = right[1, 1], np.nan
    capture = capture_of(None, seen(made_up_rig(3), given, noise=1.0), len(given), cameras=3)
    fit = fit_capture(capture, FitOptions(capture.camera_names, refine_masks=False, refine_cameras=False))
    assert fit.sides == ("right",)
    assert fit.pose.valid[:, 0].tolist() == [True, False, True, False]
    assert fit.report["doubts"][0].startswith("Joints of the left hand are those of a right one in 1 of 4 frames (1)")
    assert any("No hand in 2 of 4 frames (1, 3)" in sentence for sentence in fit.report["doubts"])


@pytest.mark.parametrize(
    ("cameras", "said"), [(1, "found it in camera 0 alone: .*prepare"), (3, "0, 1, 2: they see .* in different places")]
)
def test_one_camera_and_cameras_that_disagree_are_told_apart(cameras: int, said: str) -> None:
    right = moving_joints(2, reach=0.03)
    found = seen(made_up_rig(3), right, noise=1.0)
    # Each camera saw another moment and another rig.
    found += np.array([[0.0, 0.0], [400.0, -300.0], [-350.0, 420.0]])[:, None, None]
    found[:, cameras:] = np.nan
    capture = capture_of(None, found, 2, cameras=3)
    with pytest.raises(HandsError, match=said):
        fit_capture(capture, FitOptions(capture.camera_names, refine_masks=False))
