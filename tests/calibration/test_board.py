"""Boards drawn through known cameras: lenses and places come back."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.board_images import NUMBERS, SIZE, K, eyes, photographed
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.board import (
    Board,
    Corners,
    board_image,
    calibrate_moving_camera,
    calibrate_rig,
    find_corners,
)
from nerfstudio_hands.calibration.lens import Lens
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis.rig import look_at

BOARDS = {"charuco": Board(), "april": Board("april", 4, 6, 0.03)}


def to_world(board_to_camera: np.ndarray) -> np.ndarray:
    """The same transform from axes with y down to those with y up."""
    return board_to_camera @ np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.mark.parametrize("kind", BOARDS)
def test_a_camera_that_moves_round_a_board(kind: str):
    board = BOARDS[kind]
    middle = np.array([0.5 * board.columns * board.square, -0.5 * board.rows * board.square, 0.0])
    true = eyes(8, middle)
    seen = {}
    for index, transform in enumerate(true):
        corners = find_corners(board, photographed(board, transform))
        if corners is not None:
            seen[f"{index}.png"] = corners
    assert len(seen) >= 6
    found = calibrate_moving_camera("phone", seen, SIZE)
    camera = found.cameras["phone"]
    # Corners of a chessboard lie where four squares meet, those of a tag between edges that were found.
    assert found.pixels["phone"] < (0.4 if kind == "charuco" else 0.8)
    np.testing.assert_allclose(camera.intrinsics, K, atol=6)
    assert camera.lens.coefficients[0] == pytest.approx(NUMBERS[0], abs=0.03)
    for name, image in found.images.items():
        expected = true[int(name[0])]
        off = np.linalg.inv(to_world(image.world_to_camera)) @ expected
        assert np.degrees(Rotation.from_matrix(off[:3, :3]).magnitude()) < 0.5
        assert (
            np.linalg.norm(np.linalg.inv(expected)[:3, 3] - np.linalg.inv(to_world(image.world_to_camera))[:3, 3])
            < 0.004
        )


@pytest.mark.parametrize("kind", BOARDS)
def test_corners_are_found_where_they_are_drawn(kind: str):
    """A square of an inch has 60 pixels of the reduced picture, after a margin of half of it."""
    board = replace(BOARDS[kind], square=0.0254)
    small = cv2.resize(board_image(board), None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    found = find_corners(board, np.repeat(small[..., None], 3, axis=2))
    np.testing.assert_allclose(found.pixels, found.points[:, :2] / 0.0254 * 60 + 30, atol=0.2)


def projected(transform: np.ndarray, board: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> Corners | None:
    matrix = transform @ board
    local = points @ matrix[:3, :3].T + matrix[:3, 3]
    pixels = cv2.projectPoints(local, np.zeros(3), np.zeros(3), K, NUMBERS)[0][:, 0]
    inside = ((pixels > 0) & (pixels < SIZE)).all(axis=1) & (local[:, 2] > 0)
    if inside.sum() < 8:
        return None
    return Corners(points[inside], pixels[inside] + rng.normal(0, 0.2, (int(inside.sum()), 2)))


def test_cameras_that_see_a_board_together():
    """Three in a row, of which the outer two never see the board at once."""
    rng = np.random.default_rng(0)
    points = np.array([(0.025 * x, 0.025 * y, 0) for x in range(6) for y in range(9)])
    rig = [look_at(np.array([x, -0.8, 0.3]), np.array([0.3 * x, 0.0, 0.0])) for x in (-0.7, 0.0, 0.7)]
    seen: dict[str, dict[str, Corners]] = {"a": {}, "b": {}, "c": {}}
    for instant in range(20):
        board = np.eye(4)
        board[:3, :3] = Rotation.from_rotvec([np.pi / 2, 0, 0] + rng.uniform(-0.5, 0.5, 3)).as_matrix()
        board[:3, 3] = rng.uniform((-0.15, -0.1, -0.05), (0.15, 0.1, 0.05))
        for name, transform in zip(seen, rig, strict=True):
            if name != ("a", "c")[instant % 2]:
                corners = projected(transform, board, points - [0.07, 0.1, 0], rng)
                if corners is not None:
                    seen[name][str(instant)] = corners
    known = {name: CalibratedCamera(name, K, Lens("opencv", tuple(NUMBERS.tolist()))) for name in seen}
    found = calibrate_rig(seen, dict.fromkeys(seen, SIZE), known=known)
    relative = [
        camera.world_to_camera @ np.linalg.inv(found.cameras["b"].world_to_camera) for camera in found.cameras.values()
    ]
    for one, transform in zip(relative, rig, strict=True):
        expected = transform @ np.linalg.inv(rig[1])
        assert np.degrees(Rotation.from_matrix(one[:3, :3] @ expected[:3, :3].T).magnitude()) < 0.2
        np.testing.assert_allclose(one[:3, 3], expected[:3, 3], atol=0.003)
    assert max(found.pixels.values()) < 0.5 and "3 cameras placed by the board" in found.sentence


def test_what_a_board_cannot_tell_is_said():
    rng = np.random.default_rng(0)
    points = np.array([(0.025 * x, 0.025 * y, 0) for x in range(6) for y in range(9)])
    place = np.eye(4)
    place[2, 3] = 0.5
    corners = projected(place, np.eye(4), points, rng)
    with pytest.raises(HandsError, match="in at least 4 pictures to tell the lens, found it in 1"):
        calibrate_moving_camera("phone", {"0": corners}, SIZE)
    with pytest.raises(HandsError, match="found it in none"):
        calibrate_moving_camera("phone", {}, SIZE)
    assert find_corners(Board(), np.zeros((100, 100, 3), np.uint8)) is None
