"""Videos of a phone: cameras, lens, turn and hands of the truth, against the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from nerfstudio_hands.calibration.board import Board, find_corners
from nerfstudio_hands.calibration.read import read_calibration
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.files.video_reading import read_video
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.synthesis import phone
from nerfstudio_hands.synthesis.options import PhoneOptions
from nerfstudio_hands.synthesis.rig import look_at
from nerfstudio_hands.synthesis.scene import Quality
from nerfstudio_hands.synthesis.table import SHEET, table_with_board

SMALL = PhoneOptions(frames=2, resolution=128, subdivisions=1, hand="left", seed=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phone, "QUICK", Quality(at_samples=False, light_levels=1, shadow_rays=1, ambient_rays=3))
        yield phone.synthesize_phone(tmp_path_factory.mktemp("phone") / "made", SMALL)


def drawn(camera: CalibratedCamera, points: np.ndarray) -> np.ndarray:
    """Pixels of world points by OpenCV's own projection, whose first pixel has its centre at 0."""
    turn, shift = cv2.Rodrigues(camera.transform[:3, :3])[0], camera.transform[:3, 3]
    k = camera.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    return cv2.projectPoints(points.astype(float), turn, shift, k, np.array(camera.lens.coefficients))[0][:, 0] + 0.5


def images(path: Path) -> list[np.ndarray]:
    return [picture.image for picture in read_video(path)]


def test_videos_are_stored_lying_and_shown_upright(small: Path):
    for name in ("orbit", "film"):
        with av.open(str(small / f"{name}.mp4")) as container:
            assert (container.streams.video[0].width, container.streams.video[0].height) == (128, 72)
        shown = images(small / f"{name}.mp4")
        assert [image.shape for image in shown] == [(128, 72, 3)] * 2
    assert {path.name for path in small.iterdir()} == {"orbit.mp4", "film.mp4", "truth"}


def test_the_board_lies_on_the_table_unmirrored_and_in_its_size():
    board, step = Board(square=0.022), 1e-3
    table = table_with_board(board, np.random.default_rng(0), texel=step)
    x, y = np.meshgrid(np.arange(-0.2, 0.2, step), np.arange(0.02, -0.3, -step))
    seen = table.pattern(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)).reshape(*x.shape, 3)
    corners = find_corners(board, (255 * np.clip(seen / seen.max(), 0, 1)).astype(np.uint8))
    assert len(corners.points) > 40
    places = [x[0, 0], y[0, 0]] + (corners.pixels - 0.5) * [step, -step]
    expected = corners.points[:, [1, 0]] + SHEET - np.array([board.rows, board.columns]) * board.square / 2
    np.testing.assert_allclose(places, expected, atol=step)
    assert np.abs((places - expected).mean(0)).max() < 1e-4


def test_the_lens_is_the_one_that_the_truth_names():
    made = phone.Phone.draw(PhoneOptions(resolution=320, seed=2))
    place, rng = look_at(np.array([0.3, -0.4, 0.3]), np.zeros(3)), np.random.default_rng(0)
    flat, camera = made.pinhole(place), made.at("phone", place)
    x, y = np.meshgrid(np.arange(flat.width) + 0.5, np.arange(flat.height) + 0.5)
    for point in rng.uniform(-0.1, 0.1, (5, 3)):
        middle = flat.project(point[None])[0]
        spot = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / 8)
        shown = made.through_lens(np.repeat(spot[..., None], 3, axis=2))[..., 0]
        rows, columns = np.indices(shown.shape) + 0.5
        found = np.array([(columns * shown).sum(), (rows * shown).sum()]) / shown.sum()
        np.testing.assert_allclose(found, drawn(camera, point[None])[0], atol=0.05)


def test_true_joints_are_on_skin_in_both_videos(small: Path):
    film = read_calibration(small / "truth" / "film.toml").camera("film")
    orbit = sorted(read_calibration(small / "truth" / "orbit.json").images.items())
    for name, cameras in (("orbit", [camera for _, camera in orbit]), ("film", [film, film])):
        with np.load(small / "truth" / f"{name}.npz") as file:
            joints = file["keypoints"][:, SIDES.index("left")].astype(float)
            assert np.isnan(file["keypoints"][:, SIDES.index("right")]).all()
        for camera, image, own in zip(cameras, images(small / f"{name}.mp4"), joints.repeat(2, 0)[:2], strict=True):
            pixels = drawn(camera, own) - 0.5
            color = np.stack([map_coordinates(image[..., c].astype(float), pixels[:, ::-1].T, order=1) for c in (0, 2)])
            # Skin is redder than wood in shadow, paper, ink and walls.
            assert np.mean(color[0] > 1.25 * color[1]) > 0.8
    assert 0.15 < phone.true_hand_length(small) < 0.22


def test_the_way_is_a_turn_that_ends_where_it_began():
    path = phone.CarriedPhone(PhoneOptions(frames=8, seed=5))
    eyes = np.array([-path.at(t)[:3, :3].T @ path.at(t)[:3, 3] for t in path.times])
    angles = np.unwrap(np.arctan2(eyes[:, 1] + 0.05, eyes[:, 0] + 0.01))
    assert np.degrees(np.diff(angles)) == pytest.approx(45, abs=6)
    assert (eyes[:, 2] > 0.2).all() and np.linalg.norm(eyes, axis=1).max() < 0.65
