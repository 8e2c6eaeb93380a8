"""`ns-hands prepare` on real pictures: a rig without detections, a film of one camera, and what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from nerfstudio_hands.captures.capture_options import CaptureOptions
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.cli.prepare import prepare as command
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import HandDetector
from nerfstudio_hands.estimators.hand_detector.weights import weights_folder
from nerfstudio_hands.files.video_reading import read_video
from nerfstudio_hands.preparation import kept_hands
from nerfstudio_hands.preparation.chosen_capture import read_and_split
from nerfstudio_hands.preparation.kept_hands import found_hands
from nerfstudio_hands.preparation.options import PrepareOptions
from nerfstudio_hands.preparation.overview import overview
from nerfstudio_hands.preparation.prepare import Preparation, prepare
from nerfstudio_hands.preparation.sides import decide_sides
from nerfstudio_hands.preparation.sources import Source

CAMERAS = ("00", "03", "06", "07", "08")


def write_video(path: Path, images: list[np.ndarray], fps: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.bit_rate = 4_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def signing(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of the real film of one camera, at half size."""
    source = repository.parent / "shared" / "captures" / "signing-hand" / "asl_hand.25fps.mp4"
    if not source.is_file():
        pytest.skip(f"the real film is not at {source}")
    images = [cv2.resize(p.image, (310, 540), interpolation=cv2.INTER_AREA) for p in islice(read_video(source), 12)]
    return write_video(tmp_path_factory.mktemp("signing") / "phone.mp4", images, 25)


@pytest.fixture(scope="module")
def rig(fmhr_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Preparation:
    """Some pictures of the real rig, prepared without their detections."""
    root = tmp_path_factory.mktemp("rig")
    (root / "img").mkdir()
    for name in CAMERAS:
        shutil.copy(fmhr_demo / "img" / f"{name}.png", root / "img")
    options = PrepareOptions(
        images=(root / "img",), calibration=fmhr_demo / "camera/param.npz", masks=fmhr_demo / "mask"
    )
    return prepare(options, root / "made")


def test_a_rig_without_detections_has_the_same_hands(fmhr_demo: Path, rig: Preparation) -> None:
    made, given, own = rig, read_capture(fmhr_demo), read_capture(rig.output)
    assert own.camera_names == list(CAMERAS) and len(own.frames) == 1 and own.times is None
    assert made.found["left"] >= 4 and made.found["right"] >= 4
    for name in CAMERAS:
        one, other = given.camera(name), own.camera(name)
        np.testing.assert_allclose(one.world_to_camera, other.world_to_camera, atol=1e-6)
        np.testing.assert_allclose(one.intrinsics, other.intrinsics)
    picked = given.detections[:, [given.camera_index(name) for name in CAMERAS]]
    distance = np.linalg.norm(own.detections - picked, axis=-1)
    assert np.nanmedian(distance) < 12
    assert set(own.masks) == {("0", name) for name in CAMERAS}


def test_a_plain_folder_of_nerfstudio_works_as_it_is(rig: Preparation, tmp_path: Path) -> None:
    shutil.copytree(rig.output / "images", tmp_path / "images")
    content = json.loads((rig.output / "transforms.json").read_text())
    del content["metric"]
    for frame in content["frames"]:
        frame.pop("mask_path", None)
        for row in frame["transform_matrix"][:3]:
            row[3] *= 7.3
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    capture, _ = read_and_split(tmp_path, CaptureOptions())
    own = read_capture(rig.output)
    assert capture.metric
    for one, other in zip(own.cameras, capture.cameras, strict=True):
        np.testing.assert_allclose(one.world_to_camera[:3, 3], other.world_to_camera[:3, 3], rtol=0.05, atol=0.02)
    assert np.array_equal(np.isfinite(own.detections), np.isfinite(capture.detections))
    assert np.nanmedian(np.abs(own.detections - capture.detections)) < 1
    again, _ = read_and_split(tmp_path, CaptureOptions())
    np.testing.assert_array_equal(again.detections, capture.detections)


def test_a_film_of_one_camera(signing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, list[float]] = {}

    @contextmanager
    def show_progress(description: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        yield told.setdefault(description, []).append

    monkeypatch.setattr("nerfstudio_hands.preparation.prepare.show_progress", show_progress)
    made = prepare(PrepareOptions(videos=(signing,), max_frames=6, fov=60.0, hand_length=170.0), tmp_path / "made")
    assert made.found == {"left": 0, "right": 6} and made.frames == 6
    capture = read_capture(tmp_path / "made")
    assert capture.metric and np.all(np.diff(capture.times) > 0)
    assert capture.cameras[0].intrinsics[1, 1] == pytest.approx(270 / np.tan(np.radians(30)))
    chain = capture.metric_landmarks[:, 0, 1][:, [0, 9, 10, 11, 12]]
    # As calibrations measure it: each bone by itself, whose detections are off in some frames.
    length = np.median(np.linalg.norm(np.diff(chain, axis=1), axis=-1), axis=0).sum()
    assert length == pytest.approx(0.17 / 0.9, abs=1e-4)
    # Of all pictures that are looked at, not of those that are taken.
    assert told["Finding hands"] == pytest.approx([*np.arange(1, 13) / 12, 1])
    sheet = overview(tmp_path / "made")
    assert sheet.shape[1] == 4 * 360 and sheet.any()


def test_what_was_found_is_kept_whatever_ends_the_command(
    signing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = weights_folder()
    options = PrepareOptions(videos=(signing,), max_frames=6, fov=60.0, detector_weights=networks)
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "undisturbed"))
    whole = prepare(options, tmp_path / "whole")
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    looked, real = [], HandDetector._found

    def counted(self: HandDetector, image: np.ndarray, before: list) -> list:
        if len(looked) == 7:
            looked.clear()
            raise KeyboardInterrupt
        looked.append(image)
        return real(self, image, before)

    monkeypatch.setattr(HandDetector, "_found", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare(options, tmp_path / "made")
    (kept,) = (tmp_path / "cache" / "hands").iterdir()
    with kept.open("a") as file:
        file.write('[7, [{"sco')
    # The five that are left; and what comes after them fails.
    monkeypatch.setattr("nerfstudio_hands.preparation.prepare.decide_sides", fail)
    with pytest.raises(HandsError, match="later"):
        prepare(options, tmp_path / "made")
    assert len(looked) == 5
    monkeypatch.setattr("nerfstudio_hands.preparation.prepare.decide_sides", decide_sides)
    other = tmp_path / "renamed.mp4"
    shutil.copy(signing, other)
    made = prepare(replace(options, videos=(other,)), tmp_path / "made")
    assert len(looked) == 5 and made.found == whole.found
    one, same = (read_capture(of.output) for of in (whole, made))
    np.testing.assert_array_equal(one.detections, same.detections)
    monkeypatch.setattr(kept_hands, "SEARCH", -1)
    next(found_hands(Source("phone", (signing,)), (picture.image for picture in read_video(signing)), networks))
    assert len(looked) == 6


def test_one_picture_is_said_to_leave_none_to_evaluate(
    signing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "phone").mkdir()
    (picture,) = islice(read_video(signing), 1)
    cv2.imwrite(str(tmp_path / "phone" / "0.png"), picture.image[..., ::-1])
    command(output=tmp_path / "made", options=PrepareOptions(images=(tmp_path / "phone",), fov=60.0))
    printed = capsys.readouterr().out
    assert "No picture is held out of 1 frame and 1 camera" in printed and "1 frame, 1 camera, 1 picture;" in printed


def fail(*args: object) -> None:
    raise HandsError("later: expected, found: mend it.")


def test_what_is_wrong_is_one_sentence(signing: Path, tmp_path: Path) -> None:
    def refused(match: str, **options) -> None:
        with pytest.raises(HandsError, match=match):
            prepare(PrepareOptions(**options), tmp_path / "made")
        assert not list(tmp_path.glob("*made*"))

    gray = write_video(tmp_path / "grey.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 3, 25)
    (tmp_path / "empty").mkdir()
    refused("expected one of them, found neither")
    refused("expected one of them, found both", videos=(signing,), images=(tmp_path / "empty",))
    refused("expected pictures .*, found an empty folder", images=(tmp_path / "empty",))
    refused("no such file at", videos=(tmp_path / "absent.mp4",))
    refused("a hand in some picture, found none in 3", videos=(gray,))
    other = tmp_path / "other.mp4"
    shutil.copy(signing, other)
    refused("the places of 2 cameras, found none: calibrate the rig", videos=(signing, other))
    refused("expected seconds for each camera but the first", videos=(signing, other), offset=(0.0, 0.0))
    intrinsics = tmp_path / "lens.toml"
    intrinsics.write_text('[cam_0]\nname = "phone"\nsize = [640, 480]\nmatrix = [[500.0,0,320],[0,500,240],[0,0,1]]\n')
    refused("calibrated at the size of its pictures 310x540, found 640x480", videos=(signing,), calibration=intrinsics)
    # Half of its true focal length, so that its distortion folds the picture back before it comes to its border.
    intrinsics.write_text(
        '[cam_0]\nname = "phone"\nsize = [310, 540]\nmatrix = [[60.0,0,155],[0,60,270],[0,0,1]]\n'
        "distortions = [0.0, 0.0, 0.0, 0.0, -6.4]\n"
    )
    refused("distortion has no ray where they are: it is of another camera", videos=(signing,), calibration=intrinsics)
    (tmp_path / "nothing.mp4").touch()
    refused("expected a video, found 'an empty file'", videos=(tmp_path / "nothing.mp4",))
    refused("found a folder at .*: name the films in it", videos=(tmp_path / "empty",))
    refused("found a file at .*, or give films with --videos", images=(signing,))
