"""`ns-hands check` on the real scan finds what was found there by hand (the notes on its format list it)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.cli.check import check
from nerfstudio_hands.fitting import HandFit


@pytest.fixture(scope="module")
def report(fmhr_demo: Path, demo_fit: HandFit, tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp("check")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nerfstudio_hands.fitting.fit_or_load", lambda capture, options, **_: demo_fit)
        check(fmhr_demo, options=InterHandOptions(layout="auto", eval_cameras=("03", "10")), output=output)
    assert len(list(output.glob("1_*.jpg"))) == 14
    return json.loads((output / "report.json").read_text())


def test_miscalibrated_cameras_and_outliers(report: dict) -> None:
    cameras = {camera["name"]: camera for camera in report["cameras"]}
    assert {"05", "06"} <= {name for name, camera in cameras.items() if camera["miscalibrated"]}
    assert cameras["05"]["errors"]["right"]["as_calibrated"] == pytest.approx(28, abs=6)
    assert cameras["06"]["errors"]["left"]["as_calibrated"] == pytest.approx(44, abs=6)
    outliers = {(name, side) for name, camera in cameras.items() for side in camera["outliers"]}
    assert {("00", "right"), ("04", "right"), ("15", "left")} <= outliers


def test_masks(report: dict) -> None:
    coverage = {camera["name"]: camera["mask"]["coverage"] for camera in report["cameras"] if camera["mask"]}
    assert all(coverage[name] < 0.3 for name in ("01", "02", "13"))
    # The hole of 11 is small.
    assert all(0.3 < coverage[name] < 0.93 for name in ("05", "12", "15"))
    assert all(coverage[name] > 0.93 for name in ("03", "04", "06", "07", "10"))


def test_stale_joints_and_exposure(report: dict) -> None:
    assert report["stored_keypoints_pixels"] == pytest.approx(190, abs=20)
    assert any("are stale" in finding for finding in report["findings"])
    gains = [camera["exposure"]["gain"] for camera in report["cameras"] if camera["exposure"]]
    assert 3 < max(gains) / min(gains) < 6
