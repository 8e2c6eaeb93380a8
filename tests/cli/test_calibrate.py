"""`ns-hands calibrate` from pictures to a file that is read back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.board_images import K, eyes, photographed
from helpers.moving_hand import SIZE, made_up_rig, moving_joints, seen
from PIL import Image

from nerfstudio_hands.calibration.board import Board
from nerfstudio_hands.calibration.intrinsics import exif_view_degrees
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import transforms
from nerfstudio_hands.captures.landmark_files import ImageLandmarks, write_landmarks
from nerfstudio_hands.cli.calibrate import calibrate
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image


def test_a_printed_board_and_a_camera_that_moves_round_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    calibrate(print_board=tmp_path / "board.png", board_size=(5, 7))
    assert cv2.imread(str(tmp_path / "board.png")).shape[0] == pytest.approx((7 * 25 + 25) / 25.4 * 300, abs=3)
    (tmp_path / "phone").mkdir()
    middle = np.array([0.0875, -0.125, 0.0])
    for index, transform in enumerate(eyes(6, middle)):
        cv2.imwrite(str(tmp_path / "phone" / f"{index}.png"), photographed(Board(), transform))
    calibrate(output=tmp_path / "transforms.json", images=(tmp_path / "phone",), every=1)
    found = read_calibration(tmp_path / "transforms.json")
    assert len(found.images) >= 5
    np.testing.assert_allclose(found.camera("0").intrinsics, K, atol=12)
    assert "Next: ns-hands prepare --images" in capsys.readouterr().out
    with pytest.raises(HandsError, match="expected a new file, found one there"):
        calibrate(output=tmp_path / "transforms.json", images=(tmp_path / "phone",))


def test_cameras_placed_by_hands(tmp_path: Path):
    rig = made_up_rig(3)
    landmarks = seen(rig, moving_joints(20), noise=1.0)
    for c, camera in enumerate(rig):
        (tmp_path / "pictures" / camera.name).mkdir(parents=True)
        (tmp_path / "found" / camera.name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "pictures" / camera.name / "0.png"), np.zeros((SIZE[1], SIZE[0]), np.uint8))
        for t in range(20):
            picture = ImageLandmarks(landmarks[t, c], np.full((2, 21, 3), np.nan), np.full(2, np.nan))
            write_landmarks(tmp_path / "found" / camera.name / f"{t:06d}.json", picture)
    folders = tuple(tmp_path / "pictures" / camera.name for camera in rig)
    # The cameras' principal points are up to 18 px off the middle, which an angle of view does not know.
    fov = float(2 * np.degrees(np.arctan(640 / 1120)))
    calibrate(
        output=tmp_path / "c.toml",
        method="hands",
        images=folders,
        landmarks=tmp_path / "found",
        fov=fov,
        hand_length=178,
    )
    found = read_calibration(tmp_path / "c.toml")
    assert found.unit == 1.0 and list(found.cameras) == [camera.name for camera in rig]
    one, other = (np.linalg.inv(transforms(cameras))[:, :3, 3] for cameras in (found.cameras.values(), rig))
    assert np.linalg.norm(one[1] - one[0]) == pytest.approx(np.linalg.norm(other[1] - other[0]), rel=0.1)


def test_structure_from_motion_sees_upright_images_without_the_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "phone").mkdir()
    (tmp_path / "found" / "phone").mkdir(parents=True)
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:10] = 255
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "phone" / "a.jpg", exif=turned, quality=95)
    Image.fromarray(picture).save(tmp_path / "phone" / "b.jpg", quality=95)
    pixels = np.full((2, 21, 2), np.nan)
    pixels[1] = np.stack([30 + np.arange(21) % 5, 30 + np.arange(21)], -1)
    write_landmarks(
        tmp_path / "found" / "phone" / "b.json", ImageLandmarks(pixels, np.full((2, 21, 3), np.nan), np.full(2, np.nan))
    )

    def looked_at(images: Path, *, masks: Path, origin: Path, **options):
        upright = np.asarray(Image.open(images / "a.jpg"))
        assert upright.shape == (80, 60, 3) and upright[:, 51:].mean() > 240 and upright[:, :49].mean() < 10
        assert np.array_equal(np.asarray(Image.open(images / "b.jpg")), read_image(tmp_path / "phone" / "b.jpg"))
        mask = np.asarray(Image.open(masks / "b.jpg.png"))
        # The joints' hull and .4 of the palm's 9.8 pixels around it.
        assert mask[30:50, 30:34].max() == 0 and not mask[40, 27:37].any()
        assert mask[:24].min() == mask[:, 42:].min() == 255
        assert np.asarray(Image.open(masks / "a.jpg.png")).min() == 255 and origin == tmp_path / "phone"
        raise HandsError("seen")

    monkeypatch.setattr("nerfstudio_hands.preparation.calibrate.reconstruct", looked_at)
    where = {"images": (tmp_path / "phone",), "landmarks": tmp_path / "found"}
    with pytest.raises(HandsError, match="seen"):
        calibrate(output=tmp_path / "c.json", method="motion", every=1, **where)


def test_what_is_missing_is_said(tmp_path: Path):
    with pytest.raises(HandsError, match="found neither: name some"):
        calibrate(output=tmp_path / "c.toml")
    with pytest.raises(HandsError, match="expected --landmarks"):
        calibrate(output=tmp_path / "c.toml", method="hands", images=(tmp_path,))
    with pytest.raises(HandsError, match="--square: expected a number from 1 to 1000"):
        calibrate(output=tmp_path / "c.toml", square=float("nan"))


def test_exif_tells_the_angle_of_view(tmp_path: Path):
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (40, 30)).save(tmp_path / "b.jpg")
    assert exif_view_degrees(tmp_path / "a.jpg") == pytest.approx(69.4, abs=0.1)
    assert exif_view_degrees(tmp_path / "b.jpg") is None
