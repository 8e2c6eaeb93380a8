"""Boards drawn through known cameras: lenses and places come back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.board import (
    Board,
    Corners,
    board_picture,
    calibrate_moving_camera,
    calibrate_rig,
    find_corners,
)
from nerfstudio_hands.calibration.lens import Lens
from nerfstudio_hands.calibration.record import CalibratedCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis.rig import look_at

SIZE = (960, 720)
K = np.array([[800.0, 0, 485.5], [0, 803.0, 362.5], [0, 0, 1]])
NUMBERS = np.array([-0.12, 0.06, 0.001, -0.001, 0.0])
BOARDS = {"charuco": Board(), "april": Board("april", 4, 6, 0.03)}


def eyes(count: int, middle: np.ndarray) -> list[np.ndarray]:
    """World-to-camera transforms of cameras above a board that lies on the ground."""
    rng = np.random.default_rng(3)
    places = rng.uniform((-0.22, -0.3, 0.3), (0.22, -0.1, 0.5), (count, 3))
    return [
        look_at(middle + place, middle + rng.uniform(-0.04, 0.04, 3), roll=float(rng.uniform(-1, 1)))
        for place in places
    ]


def photographed(board: Board, transform: np.ndarray) -> np.ndarray:
    """A picture [H W 3] of the board on the ground of z = 0, on grey, through the lens; z points at the cameras.

    Every pixel is followed to the plane, apart from the package's own lens.
    """
    drawn = board_picture(board, dots_per_inch=200)
    scale = 200 / 0.0254
    centers = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1).reshape(-1, 1, 2).astype(np.float64)
    k = K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    rays = cv2.undistortPointsIter(centers, k, NUMBERS, np.eye(3), np.eye(3), (3, 50, 1e-10))[:, 0]
    rotation, translation = transform[:3, :3], transform[:3, 3]
    directions = np.append(rays, np.ones((len(rays), 1)), axis=1) @ rotation
    center = -rotation.T @ translation
    places = center[:2] - directions[:, :2] * (center[2] / directions[:, 2:])
    # The board's own axes: x right, y down, seen from above its z points away from the reader.
    margin = round(board.square * scale) // 2
    indices = np.stack([places[:, 0], -places[:, 1]], axis=1) * scale + margin - 0.5
    maps = indices.reshape(SIZE[1], SIZE[0], 2).astype(np.float32)
    picture = cv2.remap(cv2.GaussianBlur(drawn, (0, 0), 1.0), maps, None, cv2.INTER_LINEAR, borderValue=128)
    return np.repeat(picture[..., None], 3, axis=2)


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
