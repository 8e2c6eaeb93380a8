"""Pictures that show at a glance whether the fitted hands lie on the photographed ones."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.inspection.hand_view import HandView

SIDE_COLORS = ((255, 60, 170), (0, 200, 255))
"""Left and right; neither is a color of skin."""

MASK_COLOR = (90, 255, 90)
LONGEST_SIDE = 1000
MAX_ZOOM = 2.0
TILE_WIDTH = 480
# OpenCV draws at fixed-point coordinates with this many fractional bits.
SUBPIXEL_BITS = 4


def draw_overlay(view: HandView) -> UInt8[np.ndarray, "h w 3"]:
    """Draw fitted outline and joints over a picture, cropped to the hands.

    Left pink, right blue: outline of the fitted hand, its skeleton, a ring at each detected joint with a line to the
    fitted one. Green: outline of the mask.
    """
    left, top, right, bottom = _crop(view)
    zoom = min(MAX_ZOOM, LONGEST_SIDE / max(right - left, bottom - top))
    size = (round((right - left) * zoom), round((bottom - top) * zoom))
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(np.ascontiguousarray(view.image[top:bottom, left:right]), size, interpolation=interpolation)

    def place(pixels: Float[np.ndarray, "*N 2"]) -> Int[np.ndarray, "*N 2"]:
        # Pixel (0, 0) of OpenCV has its centre at 0.5 of ours.
        return np.round(((pixels - (left, top)) * zoom - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)

    if view.mask is not None:
        _draw_boundary(canvas, view.mask, place, MASK_COLOR)
    for side, color in enumerate(SIDE_COLORS):
        _draw_boundary(canvas, view.sides == side, place, color)
        _draw_joints(canvas, view.fitted[side], view.detections[side], place, color)
    return canvas


def with_caption(picture: UInt8[np.ndarray, "h w 3"], lines: Sequence[str]) -> UInt8[np.ndarray, "H w 3"]:
    """The picture with a dark bar of text above it; long lines shrink to fit."""
    width = picture.shape[1]
    bar = np.full((22 * len(lines) + 8, width, 3), 24, np.uint8)
    for index, text in enumerate(lines):
        font = cv2.FONT_HERSHEY_SIMPLEX
        scale = min(0.55, 0.55 * (width - 16) / max(cv2.getTextSize(text, font, 0.55, 1)[0][0], 1))
        cv2.putText(bar, text, (8, 20 + 22 * index), font, scale, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate([bar, picture])


def contact_sheet(overlays: Sequence[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """All overlays on one page, row by row, each scaled to the width of its column; a row is as high as its highest."""
    columns = int(np.ceil(np.sqrt(len(overlays))))
    tiles = [
        cv2.resize(o, (TILE_WIDTH, round(o.shape[0] * TILE_WIDTH / o.shape[1])), interpolation=cv2.INTER_AREA)
        for o in overlays
    ]
    rows = []
    for start in range(0, len(tiles), columns):
        members = tiles[start : start + columns]
        row = np.zeros((max(len(tile) for tile in members), columns * TILE_WIDTH, 3), np.uint8)
        for index, tile in enumerate(members):
            row[: len(tile), index * TILE_WIDTH : (index + 1) * TILE_WIDTH] = tile
        rows.append(row)
    return np.concatenate(rows)


def _crop(view: HandView) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part that holds projected hands and joints; all where there is none."""
    height, width = view.sides.shape
    rows, columns = np.nonzero(view.sides >= 0)
    points = np.concatenate([np.stack([columns, rows], -1), view.detections.reshape(-1, 2), view.fitted.reshape(-1, 2)])
    points = points[np.isfinite(points).all(-1)]
    points = points[((points >= 0) & (points < (width, height))).all(-1)]
    if len(points) == 0:
        return 0, 0, width, height
    low, high = points.min(0), points.max(0)
    margin = 0.12 * (high - low).max() + 8
    left, top = np.maximum(low - margin, 0).astype(int)
    right, bottom = np.minimum(high + margin, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _draw_boundary(canvas: np.ndarray, region: Bool[np.ndarray, "H W"], place, color: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours = [place(contour[:, 0] + 0.5) for contour in contours if len(contour) > 4]
    cv2.polylines(canvas, contours, True, color, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_joints(
    canvas: np.ndarray, fitted: np.ndarray, detected: np.ndarray, place, color: tuple[int, int, int]
) -> None:
    def line(start: np.ndarray, end: np.ndarray, color: tuple[int, int, int]) -> None:
        if np.isfinite(start).all() and np.isfinite(end).all():
            cv2.line(canvas, place(start), place(end), color, 1, cv2.LINE_AA, SUBPIXEL_BITS)

    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0:
            line(fitted[parent], fitted[joint], color)
        line(fitted[joint], detected[joint], (255, 255, 255))
        if np.isfinite(detected[joint]).all():
            cv2.circle(canvas, place(detected[joint]), 4 << SUBPIXEL_BITS, color, 1, cv2.LINE_AA, SUBPIXEL_BITS)
