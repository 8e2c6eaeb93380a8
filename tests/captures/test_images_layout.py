"""Own pictures: what `CaptureWriter` writes is read again, and what others write is understood or named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerfstudio_hands.calibration.lens import Lens, undistort_points, undistorted_camera
from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.captures.landmark_files import no_landmarks
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import image_size, read_image
from nerfstudio_hands.preparation.layout_writing import CaptureWriter

K = np.array([[80.0, 0, 40.5], [0, 82.0, 29.0], [0, 0, 1]])


def cameras() -> dict[str, CaptureCamera]:
    turned = np.eye(4)
    turned[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    turned[:3, 3] = [0.1, -0.2, 0.7]
    return {name: CaptureCamera(name, K, pose, 80, 60) for name, pose in (("a", np.eye(4)), ("b", turned))}


def landmarks(seed: int):
    found, rng = no_landmarks(), np.random.default_rng(seed)
    found.pixels[1], found.metric[1] = rng.uniform(5, 55, (21, 2)), rng.normal(0, 0.05, (21, 3))
    found.score[1] = 0.9
    return found


@pytest.fixture
def film(tmp_path: Path) -> Path:
    writer = CaptureWriter(tmp_path, cameras(), True, {"hand_length_mm": 185})
    for frame in range(3):
        for index, name in enumerate("ab"):
            image = np.random.default_rng(frame).integers(0, 255, (60, 80, 3), dtype=np.uint8)
            mask = np.zeros((60, 80), bool)
            mask[10:40, 20:60] = True
            writer.add(name, frame, 0.5 * frame, image, landmarks(2 * frame + index), mask if index else None)
    writer.finish()
    return tmp_path


def edited(root: Path, change) -> Path:
    path = root / "transforms.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return root


def test_a_film_is_read_as_it_was_written(film: Path) -> None:
    capture = read_capture(film)
    assert capture.camera_names == ["a", "b"] and capture.frames == ["0", "1", "2"]
    assert capture.metric and capture.fps == 2 and list(capture.times) == [0, 0.5, 1.0]
    for camera in capture.cameras:
        np.testing.assert_allclose(camera.world_to_camera, cameras()[camera.name].world_to_camera, atol=1e-12)
        np.testing.assert_allclose(camera.intrinsics, K)
    np.testing.assert_allclose(capture.detections[2, 1, 1], landmarks(5).pixels[1], atol=1e-3)
    np.testing.assert_allclose(capture.metric_landmarks[1, 0, 1], landmarks(2).metric[1], atol=1e-6)
    assert set(capture.masks) == {(frame, "b") for frame in capture.frames}
    assert np.isnan(capture.detections[:, :, 0]).all()


def test_images_without_cameras_are_one_still_hand(film: Path) -> None:
    def forget(content: dict) -> None:
        for number, frame in enumerate(content["frames"]):
            for key in ("camera", "frame", "time"):
                del frame[key]
            frame["transform_matrix"][0][3] = 0.1 * number
            source = film / frame["file_path"]
            frame["file_path"] = f"images/{number}.png"
            source.rename(film / frame["file_path"])
            frame.pop("mask_path", None)
        del content["metric"]

    capture = read_capture(edited(film, forget))
    assert len(capture.cameras) == 6 and len(capture.frames) == 1
    assert capture.times is None and not capture.metric


def test_a_lens_is_undone(film: Path, tmp_path: Path) -> None:
    lens = Lens("opencv", (-0.2, 0.05, 0.001, 0.0, 0.0))
    capture = read_capture(edited(film, lambda c: c.update(k1=-0.2, k2=0.05, p1=0.001, p2=0.0)))
    new = undistorted_camera(K, lens, (80, 60))
    np.testing.assert_allclose(capture.cameras[0].intrinsics, new)
    expected = undistort_points(landmarks(0).pixels[1], K, lens, new)
    np.testing.assert_allclose(capture.detections[0, 0, 1], expected, atol=1e-3)
    kept = capture.images["0", "a"]
    assert not kept.is_relative_to(film) and image_size(kept) == (80, 60)
    assert read_capture(film).images["0", "a"] == kept
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert read_capture(film).images["0", "a"] == kept and kept.read_bytes() == whole


def test_what_cannot_be_is_one_sentence(film: Path) -> None:
    original = (film / "transforms.json").read_text()

    def refused(change, match: str) -> None:
        (film / "transforms.json").write_text(original)
        with pytest.raises(HandsError, match=match):
            read_capture(edited(film, change))

    def move(content: dict) -> None:
        content["frames"][2]["transform_matrix"][0][3] += 0.1

    refused(move, "camera a to stand still, found another place")
    refused(lambda c: c["frames"][2].update(frame=0), "one picture of camera a in frame 0, found images/a/00000")
    refused(lambda c: c["frames"][2].pop("camera"), "a camera in every frame or in none, found none in frame 2")
    refused(lambda c: c["frames"][2].update(frame="x"), "a number under frame of images/a/00001.png, found 'x'")
    refused(lambda c: [f.update(file_path=f["file_path"] + "x") for f in c["frames"]], "found none of 6")


def test_images_that_are_gone_are_counted(film: Path) -> None:
    (film / "images/a/00001.png").unlink()
    capture = read_capture(film)
    assert ("1", "a") not in capture.images and "left out: 1 (images/a/00001.png)" in " ".join(capture.problems)


def test_phones_that_lay_on_their_side_are_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.zeros((40, 60, 3), np.uint8)
    lying[:, :30] = 255
    Image.fromarray(lying).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert image_size(tmp_path / "a.jpg") == (40, 60)
    upright = read_image(tmp_path / "a.jpg")
    assert upright[:25].mean() > 250 and upright[35:].mean() < 5
