"""Boards that are drawn through known cameras, apart from the package's own lens."""

from __future__ import annotations

import cv2
import numpy as np

from nerfstudio_hands.calibration.board import Board, board_image
from nerfstudio_hands.synthesis.rig import look_at

SIZE = (960, 720)
K = np.array([[800.0, 0, 485.5], [0, 803.0, 362.5], [0, 0, 1]])
NUMBERS = np.array([-0.12, 0.06, 0.001, -0.001, 0.0])


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
    drawn = board_image(board, dots_per_inch=200)
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
