"""`ns-hands check` and `ns-hands fit` on a capture that comes with joints in space instead of detections and masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tyro
from helpers.make_interhand import COLOUR, FRAMES, fit_by_hand, make_interhand

from nerfstudio_hands.captures.capture_options import InterHandOptions
from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.cli.check import check
from nerfstudio_hands.cli.fit import fit
from nerfstudio_hands.dataparsers.interhand_dataparser import InterHandDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandSurface, default_hand

ROM03, ROM04 = FRAMES


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit_or_load(capture, *arguments, **options):
        found = fit_by_hand(capture)
        found.report.update(joint_distance_mm=1.5, displacement_mm=0.0)
        return found

    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", fit_or_load)


def test_check_measures_the_hands_against_the_given_joints(tmp_path: Path, fitted) -> None:
    root = tmp_path / "ih"
    truth = make_interhand(root)
    options = InterHandOptions(layout="auto", eval_cameras=("400412",))
    check(root, output=tmp_path / "out", frames=2, options=options)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    cameras = {camera["name"]: camera for camera in report["cameras"]}
    assert {name: camera["role"] for name, camera in cameras.items()} == {
        "400002": "fit", "400004": "fit", "400412": "held out",
    }  # fmt: skip
    for name in COLOUR:
        assert cameras[name]["faults"] == [] and cameras[name]["mask"] is None
        assert cameras[name]["errors"]["right"]["corrected"] is None
    # The same figure by the published projection.
    found = fit_by_hand(read_interhand(root))
    surface = HandSurface([default_hand(side) for side in found.sides])
    joints = surface.pose(found.pose, found.shape, found.displacement).keypoints.double().numpy() * 1000
    order = [20, *(4 * finger + k for finger in range(5) for k in (3, 2, 1, 0))]
    errors = []
    for t, frame in enumerate(truth.joints):
        if not found.pose.valid[t, 1]:
            continue
        in_camera = (joints[t, 1] - truth.campos["400004"]) @ truth.camrot["400004"].T
        pixels = in_camera[:, :2] / in_camera[:, 2:] * truth.focal["400004"] + truth.princpt["400004"]
        errors.append(np.linalg.norm(pixels - truth.pixels("400004", frame)[:21][order], axis=-1))
    assert cameras["400004"]["errors"]["right"]["fitted"] == pytest.approx(float(np.median(errors)), abs=1e-3)
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert pictures == sorted(
        [f"{ROM03}_18_{name}.jpg" for name in COLOUR]
        + [f"{ROM04}_108_{name}.jpg" for name in COLOUR]
        + ["contact_sheet.jpg"]
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--sequences", ROM04, "--eval-cameras", "400412", "--eval-frame-fraction", "0.5"],
        ["--cameras", "400002", "400004", "--eval-cameras"],
        ["--exclude-cameras", "400412", "--no-refine-cameras"],
        ["--frame-range", "18", "60"],
        ["--frame-stride", "2", "--gray-cameras"],
        ["--hand-type", "right", "--eval-frame-fraction", "0"],
    ],
)
@pytest.mark.parametrize("command", [check, fit])
def test_the_options_of_training_choose_what_is_read(
    command, words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ih"
    make_interhand(root)
    fits = []

    def note(capture, options, **_):
        fits.append((capture.frames, options))
        raise HandsError("enough")

    monkeypatch.setattr("nerfstudio_hands.fitting.fit_or_load", note)
    with pytest.raises(HandsError, match="enough"):
        tyro.cli(command, args=[str(root), "--output", str(tmp_path / "out"), *words])
    config = tyro.cli(InterHandDataParserConfig, args=["--data", str(root), *words])
    with pytest.raises(HandsError, match="enough"):
        config.setup().get_dataparser_outputs()
    assert fits[0] == fits[1]
    with pytest.raises(HandsError, match="enough"):
        tyro.cli(command, args=[str(root), "--output", str(tmp_path / "out")])
    assert fits[2] != fits[0], "the options choose something"
    with pytest.raises(HandsError, match="--capture"):
        tyro.cli(command, args=[str(root), "--output", str(tmp_path / "out"), "--capture", "7"])


def test_fit_prints_what_there_is(tmp_path: Path, fitted, capsys) -> None:
    make_interhand(tmp_path)
    fit(tmp_path)
    printed = capsys.readouterr().out
    assert "1.5 mm from the given ones" in printed and "Outlines" not in printed
    # Pictures of bright dots.
    assert "No picture shows the outline of a hand: nothing but joints" in printed
    fit(tmp_path, hand="left")


def test_fit_of_a_hand_that_is_never_there(tmp_path: Path, fitted) -> None:
    make_interhand(tmp_path)
    (tmp_path / "images/test/Capture0" / ROM04).rename(tmp_path / "elsewhere")
    for path in tmp_path.glob("images/test/Capture0/*/*/image54.jpg"):
        path.unlink()
    with pytest.raises(HandsError, match="expected joints of the left hand"):
        fit(tmp_path, hand="left")
