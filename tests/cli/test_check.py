"""`ns-hands check` on a scan of the default hands whose truth is known; the fit is the truth, to save its time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.make_scan import make_scan
from PIL import Image

from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.cli.check import camera_table, capture_name, check
from nerfstudio_hands.cli.commands import run_command
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.inspection.camera_report import CameraReport, HandErrors
from nerfstudio_hands.inspection.capture_report import CaptureReport
from nerfstudio_hands.inspection.joint_verdict import JointVerdict
from nerfstudio_hands.inspection.pictures_verdict import LookedAt

WIDTH, HEIGHT, FOCAL = 320, 256, 700.0
DARK = "01"
HOLED = "02"
TURNED = "03"


@pytest.fixture(scope="module")
def scan_and_fit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HandFit]:
    """Four cameras; 01 is a quarter as bright, the mask of 02 has a hole, 03 is calibrated a degree off."""
    surface = HandSurface((default_hand("left"), default_hand("right")))
    pose = HandPose.rest(2, (1,))
    # Side by side, palms along the optical axes.
    center = torch.stack([hand.template.mean(0) for hand in surface.hands])
    pose.translation[0] = torch.tensor([[-0.09, 0.0, 0.0], [0.09, 0.0, 0.0]]) - center
    pose.global_orient[:] = torch.tensor([1.2, 0.0, 0.0])
    posed = surface.pose(pose, torch.zeros(10))
    scan = tmp_path_factory.mktemp("capture") / "1"
    truth = make_scan(
        scan, num_cameras=4, width=WIDTH, height=HEIGHT, focal=FOCAL, joints=posed.keypoints[0].double().numpy()
    )
    for index in range(4):
        mask = _silhouette(posed.vertices[0].double().numpy(), surface.faces.numpy(), truth, index)
        brightness = 64 if f"{index:02d}" == DARK else 128
        picture = np.where(mask[..., None] > 0, np.uint8(brightness), np.uint8(10)).repeat(3, -1)
        Image.fromarray(picture).save(scan / "img" / f"{index:02d}.png")
        if f"{index:02d}" == HOLED:
            rows, columns = np.nonzero(mask)
            mask[rows.min() : int(rows.mean())] = 0
        Image.fromarray(mask).save(scan / "mask" / f"{index:02d}.png")
    _turn_calibration(scan, int(TURNED), degrees=1.0)
    rotations = {f"{index:02d}": np.zeros(3) for index in range(4)}
    rotations[TURNED] = np.array([np.deg2rad(-1.0), 0, 0])
    fit = HandFit(
        sides=("left", "right"),
        frames=["1"],
        shape=torch.zeros(10),
        displacement=torch.zeros(len(surface.canonical), 3),
        pose=pose,
        camera_rotation=rotations,
        keypoints_3d=truth.joints[None],
    )
    return scan, fit


def _silhouette(vertices: np.ndarray, faces: np.ndarray, truth, index: int) -> np.ndarray:
    in_camera = vertices @ truth.world_to_camera[index, :3, :3].T + truth.world_to_camera[index, :3, 3]
    pixels = in_camera @ truth.intrinsics[index].T
    corners = np.round((pixels[:, :2] / pixels[:, 2:] - 0.5) * 16).astype(np.int32)[faces]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for triangle in corners:
        cv2.fillConvexPoly(mask, triangle, 255, shift=4)
    return mask


def _turn_calibration(scan: Path, index: int, *, degrees: float) -> None:
    path = scan / "camera" / "param.npz"
    arrays = dict(np.load(path))
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    arrays[f"ext_{index}"] = turn @ arrays[f"ext_{index}"]
    del arrays[f"world_mat_{index}"]
    np.savez(path, **arrays)


def _digest(folder: Path) -> str:
    return hashlib.sha256(
        b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    ).hexdigest()


def test_reports_and_draws_what_is_wrong(scan_and_fit, tmp_path, monkeypatch, capsys) -> None:
    scan, fit = scan_and_fit
    fit, asked = replace(fit, report={"doubts": ["Two of three."]}), []
    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", lambda *args, **options: asked.append(options) or fit)
    before = _digest(scan)
    output = tmp_path / "check"
    check(scan, output=output, options=InterHandOptions(layout="auto", eval_cameras=()))
    assert _digest(scan) == before

    cameras = {camera["name"]: camera for camera in json.loads((output / "report.json").read_text())["cameras"]}
    assert cameras["00"]["faults"] == [] and cameras[DARK]["faults"] == []
    assert cameras[HOLED]["faults"][0].startswith("mask")
    assert cameras[TURNED]["faults"] == ["turned 1.0° (corrected)"]
    errors = cameras[TURNED]["errors"]["left"]
    assert errors["as_calibrated"] == pytest.approx(FOCAL * np.deg2rad(1.0), rel=0.1)
    assert errors["corrected"] == pytest.approx(0.0, abs=1e-6)
    for name in ("00", DARK, TURNED):
        assert cameras[name]["mask"]["coverage"] > 0.99
        # The masks are filled with every pixel that a triangle touches, half a pixel beyond the outline and more.
        assert cameras[name]["mask"]["outline_distance"] < 1.0
    # sRGB 128 is 0.2159 of full light, 64 is 0.0513.
    gain = cameras["00"]["exposure"]["gain"] / cameras[DARK]["exposure"]["gain"]
    assert gain == pytest.approx(0.2159 / 0.0513, rel=0.02)
    assert all(cameras[name]["errors"]["right"]["fitted"] < 0.1 for name in cameras)

    pictures = sorted(path.name for path in output.glob("*.jpg"))
    assert pictures == ["1_00.jpg", "1_01.jpg", "1_02.jpg", "1_03.jpg", "contact_sheet.jpg"]
    overlay = np.asarray(Image.open(output / "1_00.jpg")).astype(int)
    for color in ((255, 60, 170), (0, 200, 255)):
        assert (np.abs(overlay - color).max(-1) < 60).sum() > 200
    printed = capsys.readouterr().out
    # The report says the doubts, so that reading the fit must not.
    assert asked == [{"say_doubts": False}] and printed.count("Two of three.") == 1
    assert "No picture is held out of 1 frame and 4 cameras" in printed
    assert "Miscalibrated cameras" in printed and f"{TURNED} (12 -> 0)" in printed


def test_a_single_camera_is_compared_with_no_other() -> None:
    unknown = HandErrors(*[float("nan")] * 5)
    cameras = [CameraReport(name, "fit", 0.0, {"left": unknown, "right": unknown}) for name in ("a", "b")]
    for count, there in ((1, False), (2, True)):
        table = camera_table(CaptureReport(cameras[:count], JointVerdict(1.0), float("nan"), [], [], LookedAt(1, 1)))
        headings = {str(column.header) for column in table.columns}
        assert ({"left px", "right px", "gain"} <= headings) == there and {"fit px", "verdict"} <= headings
        assert ("triangulated" in str(table.caption)) == there


def test_never_writes_into_the_capture(scan_and_fit) -> None:
    scan, _ = scan_and_fit
    with pytest.raises(HandsError, match="outside of the capture"):
        check(scan, output=scan / "check")
    assert not (scan / "check").exists()


def test_scans_of_the_same_name_have_folders_of_their_own(scan_and_fit, tmp_path: Path, monkeypatch) -> None:
    scan, fit = scan_and_fit
    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", lambda *args, **options: fit)
    monkeypatch.chdir(tmp_path)
    check(scan, options=InterHandOptions(layout="auto", eval_cameras=()))
    assert (tmp_path / "outputs" / "check" / f"{scan.parent.name}-1" / "contact_sheet.jpg").is_file()
    assert capture_name(Path("/rooms/anna/1")) == "anna-1" != capture_name(Path("/rooms/bert/1"))
    assert capture_name(Path("/1")) == "1"


def test_options_of_another_layout_are_refused(scan_and_fit, tmp_path: Path) -> None:
    scan, _ = scan_and_fit
    with pytest.raises(HandsError, match=r"--frame-stride: expected a capture in the layout interhand .* capture-room"):
        check(scan, output=tmp_path / "out", options=InterHandOptions(layout="auto", frame_stride=3))


def test_a_capture_of_the_right_hand_alone(
    demo_capture: Path, true_fit_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(true_fit_cache))
    check(demo_capture, output=tmp_path)
    cameras = json.loads((tmp_path / "report.json").read_text())["cameras"]
    assert len(cameras) == 12 and (tmp_path / "contact_sheet.jpg").exists()


@pytest.mark.parametrize("words", [["--data", "{}"], ["--data={}"], ["{}"]])
@pytest.mark.parametrize("command", ["check", "fit"])
def test_the_folder_may_come_after_the_word_that_nerfstudio_has_before_it(command, words, tmp_path, monkeypatch):
    missing = tmp_path / "nothing"
    monkeypatch.setattr("sys.argv", ["ns-hands", command, *(word.format(missing) for word in words)])
    with pytest.raises(HandsError, match="nothing"):
        run_command()


@pytest.mark.parametrize(
    "words", [["check", "{}", "--output-dir", "x"], ["export", "--load-config", "{}", "--output=x"]]
)
def test_either_word_for_the_folder_that_is_written_is_understood(words, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ns-hands", *(word.format(tmp_path / "nothing") for word in words)])
    with pytest.raises(HandsError, match="nothing"):
        run_command()
