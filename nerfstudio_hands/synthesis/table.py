"""A table with a printed board on it; world z is up, the top is at z = 0."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import map_coordinates

from nerfstudio_hands.calibration.board import Board, board_image
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.synthesis.anatomy import SkinPoints
from nerfstudio_hands.synthesis.quick.backgrounds import many_frequencies
from nerfstudio_hands.synthesis.scene import RenderMesh, plain_mesh
from nerfstudio_hands.synthesis.skin import Material

HALF = 0.6
"""Half a side of the table, meters."""

CELLS = 32
"""Of the table along a side; they are small in the middle, where shadows fall."""

SHEET = (-0.02, -0.13)
"""Middle of the sheet with the board, meters; the hand lies at the origin."""

PAPER, INK = 0.72, 0.03
"""Albedo."""

WOOD = (np.array([0.10, 0.06, 0.035]), np.array([0.46, 0.34, 0.22]))
"""Albedo of its darkest and lightest grain, linear RGB."""

ROUGH = 1.85
"""How much of the grain is fine; see `many_frequencies`."""


@dataclass(frozen=True)
class Print:
    """A picture that lies on the table, seen from above: +x to the right, +y up."""

    albedo: Float[np.ndarray, "H W 3"]
    middle: Float[np.ndarray, "2"]
    """Meters, as the next."""
    extent: Float[np.ndarray, "2"]

    def at(self, places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 3"]:
        """Albedo at places of the table, linear between texels."""
        height, width, _ = self.albedo.shape
        texel = ((places - self.middle) / self.extent * [1, -1] + 0.5) * [width, height] - 0.5
        channels = np.moveaxis(self.albedo, 2, 0)
        return np.stack([map_coordinates(c, texel[:, ::-1].T, order=1, mode="nearest") for c in channels], axis=-1)

    def covers(self, places: Float[np.ndarray, "N 2"]) -> Bool[np.ndarray, "N"]:
        """Whether it lies there."""
        return np.all(np.abs(places - self.middle) <= self.extent / 2, axis=1)


@dataclass(frozen=True)
class TablePattern:
    """Factors on the mean albedo of a table with a sheet on it."""

    wood: Print
    sheet: Print
    mean: Float[np.ndarray, "3"]

    def __call__(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """At points of the table, world meters."""
        albedo, covered = self.wood.at(points[:, :2]), self.sheet.covers(points[:, :2])
        albedo[covered] = self.sheet.at(points[covered, :2])
        return albedo / self.mean


def table_with_board(board: Board, rng: np.random.Generator, *, texel: float) -> RenderMesh:
    """The top of a table with a sheet of paper on it that shows a board.

    Args:
        board: As printed.
        rng: Draws the grain of the wood.
        texel: Meters a texel.
    """
    size = max(16, round(2 * HALF / texel))
    grain = many_frequencies(size, rng, rough=ROUGH, gray=True)
    share = 1 / (1 + np.exp(-1.6 * grain))
    albedo = (WOOD[0] + share * (WOOD[1] - WOOD[0])).astype(np.float32)
    mean = albedo.mean((0, 1))
    pattern = TablePattern(Print(albedo, np.zeros(2), np.full(2, 2 * HALF)), _sheet(board, texel), mean)
    steps = np.linspace(-1, 1, CELLS + 1)
    along = HALF * (0.35 * steps + 0.65 * steps**3)
    x, y = np.meshgrid(along, along)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    corner = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return plain_mesh("table", PixelLabel.BACKGROUND, vertices, faces, partial(_matt, mean), pattern)


def _matt(albedo: Float[np.ndarray, "3"], points: SkinPoints) -> Material:
    count = len(points.position)
    return Material(np.tile(albedo, (count, 1)), np.full(count, 0.9), np.zeros(count))


def _sheet(board: Board, texel: float) -> Print:
    """The printed board, its longer side along x."""
    printed = np.rot90(board_image(board))
    # Half a square of margin all around, as printed.
    extent = np.array([board.rows + 1, board.columns + 1]) * board.square
    small = cv2.resize(printed, tuple(np.round(extent / texel).astype(int).tolist()), interpolation=cv2.INTER_AREA)
    albedo = INK + (PAPER - INK) * (small[..., None] / np.full(3, 255.0))
    return Print(albedo.astype(np.float32), np.array(SHEET), extent)
