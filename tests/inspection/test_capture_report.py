from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.fitting.silhouettes.contours import MaskBoundary
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.inspection.capture_report import CaptureReport, report_capture
from nerfstudio_hands.inspection.finger_distances import FingerOff, fingers_off
from nerfstudio_hands.inspection.image_outline import ImageOutline, OutlineQuality
from nerfstudio_hands.inspection.pictures_verdict import LookedAt, pictures_verdict
from nerfstudio_hands.inspection.view_measures import MaskQuality, ViewMeasures

FOCAL, DEPTH = 1000.0, 1.0
TURN = np.deg2rad(1.0)


def make_report(
    *,
    stored_offset: float = 0.0,
    outlines: dict[str, list[float]] | None = None,
    joint_distance_mm: float = 1.5,
    saturated: float = 0.0,
    left_out: Sequence[str] = (),
    fingers: Sequence[FingerOff] = (),
) -> CaptureReport:
    """Six cameras one metre from two hands, in pictures without outlines but for the distances given, one a frame.

    Camera 1 is turned and in the fit, 2 is turned and held out, 3 sees the right hand in the wrong place, 4 has a bad
    mask and twice the brightness, 5 has no picture.
    """
    rng = np.random.default_rng(0)
    joints = rng.normal(scale=0.03, size=(1, 2, 21, 3)) + np.array([[[0.1, 0, 0]], [[-0.1, 0, 0]]])
    cameras, detections = [], []
    for index in range(6):
        rotation = Rotation.from_euler("y", 0.3 * index).as_matrix()
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, (0, 0, DEPTH)
        cameras.append(
            CaptureCamera(f"{index:02d}", np.array([[FOCAL, 0, 500], [0, FOCAL, 400], [0, 0, 1.0]]), pose, 1000, 800)
        )
        true_pose = pose.copy()
        if index in (1, 2):
            true_pose[:3] = Rotation.from_euler("x", TURN).as_matrix() @ true_pose[:3]
        in_camera = joints @ true_pose[:3, :3].T + true_pose[:3, 3]
        pixels = FOCAL * in_camera[..., :2] / in_camera[..., 2:] + (500, 400)
        detections.append(pixels + rng.normal(scale=2.0, size=pixels.shape))
    detections = np.stack(detections, 1)
    detections[0, 3, 1] += 60.0
    detections[0, 5] = np.nan
    images = {("1", f"{index:02d}"): Path("unread.png") for index in range(5)}
    capture = Capture(
        Path("capture"),
        cameras,
        ["1"],
        images,
        {},
        detections,
        ["A problem of the reader."],
        joints + (stored_offset, 0, 0),
    )
    corrections = {name: np.zeros(3) for name in ("00", "01", "03", "04")} | {"01": np.array([TURN, 0, 0])}
    fit = HandFit(
        sides=("left", "right"),
        frames=["1"],
        shape=torch.zeros(10),
        displacement=torch.zeros(0, 3),
        pose=HandPose.rest(2, (1,)),
        camera_rotation=corrections,
        camera_zoom={"04": float(np.log(1.03))},
        keypoints_3d=joints,
        report={"joint_distance_mm": joint_distance_mm},
    )
    places = rng.uniform(0.05, 0.4, size=100)
    measures = {
        (0, f"{index:02d}"): ViewMeasures(
            MaskQuality(0.3 if index == 4 else 1.0, 1.5, 0.9), 40.0, saturated, places * (2.0 if index == 4 else 1.0)
        )
        for index in range(5)
    }
    for name, distances in (outlines or {}).items():
        for frame, distance in enumerate(distances):
            quality = OutlineQuality(distance, distance * DEPTH / FOCAL, matched=0.9, shown=0.8)
            outline = ImageOutline(MaskBoundary(np.zeros((0, 2)), np.zeros((0, 2))), quality)
            measures[frame, name] = replace(measures[0, name], outline=outline)
    off = fingers_off(capture, fit, joints, [f"{index:02d}" for index in range(5)])
    return report_capture(capture, fit, joints, measures, ["00", "01", "03", "04"], [*off, *fingers], left_out)


def test_names_the_faults_of_each_camera() -> None:
    cameras = {camera.name: camera for camera in make_report().cameras}
    assert cameras["00"].faults == []
    assert cameras["01"].faults == ["turned 1.0° (corrected)"]
    assert cameras["02"].faults == ["turned 1.0°"]
    assert cameras["03"].faults == ["right detections off"]
    assert cameras["04"].faults == ["focal length +3.0% (corrected)", "mask nearly empty"]
    assert cameras["05"].faults == ["no pictures"]
    assert [cameras[name].role for name in ("01", "02", "05")] == ["fit", "held out", "no pictures"]


def test_errors_in_pixels_before_and_after_correction() -> None:
    cameras = {camera.name: camera for camera in make_report().cameras}
    # Noise of 2 px a coordinate has a median length of 2 * sqrt(2 ln 2) = 2.35 px; a turn moves a picture by f * TURN.
    assert cameras["01"].errors["left"].corrected == pytest.approx(2.35, abs=1.0)
    assert cameras["01"].errors["left"].as_calibrated == pytest.approx(FOCAL * TURN, abs=3.0)
    assert cameras["03"].errors["right"].corrected == pytest.approx(60 * np.sqrt(2), abs=3.0)
    assert cameras["03"].errors["right"].residual_meters == pytest.approx(60 * np.sqrt(2) / FOCAL * DEPTH, rel=0.15)
    assert np.isnan(cameras["05"].errors["left"].corrected)


def test_gain_and_findings() -> None:
    report = make_report(stored_offset=0.05)
    gains = [camera.exposure.gain for camera in report.cameras[:5]]
    np.testing.assert_allclose(gains, [1, 1, 1, 1, 2], rtol=1e-6)
    text = "\n".join(report.findings)
    assert text.startswith("A problem of the reader.")
    assert "Miscalibrated cameras (median pixels as calibrated -> corrected): 01 (1" in text
    assert "Masks not to be trusted: 04 nearly empty (covers 30%)" in text
    assert "disagree with the other cameras: 03 right." in text
    assert "joints by 50 mm" in text
    assert "factor of 2.0" in text


def test_stored_joints_that_agree_are_not_called_stale() -> None:
    report = make_report(stored_offset=0.001)
    assert "stale" not in "\n".join(report.findings)
    assert report.stored_keypoints_pixels < 10


def test_json_has_no_nan() -> None:
    content = json.loads(make_report().to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["cameras"][5]["errors"]["left"]["corrected"] is None
    assert content["cameras"][1]["rotation_degrees"] == pytest.approx(1.0)


def test_a_hand_beside_its_images_is_not_good_and_no_image_confirms_without_an_outline() -> None:
    report = make_report(outlines={"00": [1.0, 1.4], "03": [9.0, 7.0]})
    cameras = {camera.name: camera for camera in report.cameras}
    assert cameras["00"].verdict == "good" and cameras["00"].outline.distance == pytest.approx(1.2)
    assert cameras["03"].faults == ["right detections off", "hand 8 px (8 mm) beside its picture"]
    assert make_report().cameras[0].verdict == "no outline seen"
    text = "\n".join(report.findings)
    assert "Hands that are not where their pictures show them: 03 (hand 8 px" in text
    assert "No outline of a hand is seen in 01, 02, 04" in text


def test_a_frame_beside_its_pictures_is_named_and_its_cameras_are_not() -> None:
    report = make_report(outlines={"00": [9.0, 1.0], "01": [8.0, 1.2], "03": [1.0, 1.0]})
    assert report.frames_beside == ["1"]
    assert report.cameras[0].verdict == "good" and report.cameras[0].outline.distance == pytest.approx(1.0)
    assert "Frames in which most pictures show the hands elsewhere: 1;" in "\n".join(report.findings)
    assert "not in frame 1: " in report.verdict


def test_the_verdict_says_whether_hands_lie_on_their_pictures() -> None:
    good = {"00": [1.0], "01": [1.0], "03": [1.6]}
    said = make_report(outlines=good).verdict
    assert said == (
        "The hands lie on their pictures in 3 cameras (1.2 px off on average). Looked at: outlines and joints of the "
        "only frame. No outline is seen in 02, 04."
    )
    one_off = make_report(outlines=good | {"03": [9.0]}).verdict
    assert one_off.startswith("The hands lie on their pictures in 2 of 3 cameras, but not in 03 (hand 9 px (9 mm)")
    assert "--exclude-cameras" in one_off
    # Of camera 03, too, the right hand of which was detected elsewhere.
    joints_off = make_report(outlines={"00": [1.0], "01": [1.0]}).verdict
    assert "in 2 of 3 cameras, but not in 03 (right detections off)" in joints_off
    all_off = make_report(outlines=dict.fromkeys(good, [9.0])).verdict
    assert all_off.startswith("The hands do not lie on their pictures in 3 of 3 cameras: 00 (hand 9 px")


def test_white_pictures_are_said_to_teach_nothing() -> None:
    report = make_report(saturated=0.9)
    assert "Overexposed (share of the hand at the limit): 00 (90%), 01 (90%)" in "\n".join(report.findings)
    assert report.verdict.startswith("No picture shows the outline of a hand (00, 01, 02, 03, 04 are overexposed)")
    assert "Overexposed" not in "\n".join(make_report().findings)


def test_a_camera_that_the_options_leave_out_is_not_called_held_out() -> None:
    report = make_report(left_out=["02"])
    assert report.cameras[2].role == report.cameras[2].verdict == "left out"


@pytest.mark.parametrize(("millimetres", "said"), [(6.0, False), (11.0, True), (16.0, True)])
def test_joints_that_lie_far_from_the_given_ones_are_said(millimetres, said) -> None:
    report = make_report(joint_distance_mm=millimetres)
    found = [finding for finding in report.findings if finding.startswith("Fitted joints lie")]
    assert bool(found) == said and report.joints.distance_mm == millimetres


def test_the_verdict_says_how_much_was_looked_at() -> None:
    cameras = make_report(outlines={"00": [1.0]}).cameras
    assert str(LookedAt(3, 30)) in pictures_verdict(cameras, [], [], LookedAt(3, 30))
    assert str(LookedAt(3, 30)).startswith("outlines of 3 of 30 frames") and "joints of all" in str(LookedAt(3, 30))
    assert str(LookedAt(30, 30)) == "outlines and joints of all 30 frames"


THUMB = FingerOff("00", "1", "right thumb", 57.0, 0.22)


def test_a_finger_off_its_landmarks_is_named_where_outlines_agree() -> None:
    report = make_report(outlines={"00": [1.0], "01": [1.0]}, fingers=[THUMB])
    said = "right thumb 57 px off its landmarks in "
    assert report.cameras[0].verdict == f"{said}frame 1"
    assert f"but {said}camera 00, frame 1" in report.verdict.replace("not in 03 (right detections off); ", "")
    assert any(f"{said}camera 00, frame 1" in finding for finding in report.findings)
    assert report.fingers == [THUMB]


@pytest.mark.parametrize("millimetres", [6.0, 11.0, 16.0])
@pytest.mark.parametrize("outlines", [{"00": [1.0], "01": [1.1]}, {"00": [1.0], "01": [9.0]}, {}])
def test_no_verdict_is_good_beside_one_that_is_not(millimetres: float, outlines: dict[str, list[float]]) -> None:
    report = make_report(joint_distance_mm=millimetres, outlines=outlines)
    if any(camera.verdict == "good" for camera in report.cameras):
        assert report.joints.grade == "good"
        assert "doubtful" not in report.verdict + "".join(report.findings)
    if report.joints.grade != "good":
        assert f"joints are {report.joints.grade}" in report.verdict
    confirmed = outlines == {"00": [1.0], "01": [1.1]}
    expected = {6.0: "good", 11.0: "good" if confirmed else "doubtful", 16.0: "doubtful" if confirmed else "wrong"}
    assert report.joints.grade == expected[millimetres]
