"""A page of pictures with the landmarks that were found in them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.inspection.capture_overlay import SIDE_COLORS

TILE, COLUMNS = 360, 4
"""Pixels of a tile's side, and tiles in a row."""

SUBPIXEL_BITS = 4
"""OpenCV draws at fixed-point coordinates with this many fractional bits."""


def landmark_tile(
    image: UInt8[np.ndarray, "H W 3"], hands: Float[np.ndarray, "2 21 2"], caption: str
) -> UInt8[np.ndarray, "S S 3"]:
    """A picture in a square tile, with the left hand drawn in pink and the right one in blue.

    Args:
        image: RGB.
        hands: Pixels, the centre of the upper left one being (0.5, 0.5); NaN where absent.
        caption: Stands below.
    """
    scale = TILE / max(image.shape[:2])
    size = tuple(max(round(side * scale), 1) for side in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    for hand, color in zip(hands * scale, SIDE_COLORS, strict=True):
        _draw_hand(tile, hand, color)
    cv2.putText(tile, caption, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _draw_hand(tile: UInt8[np.ndarray, "S S 3"], hand: Float[np.ndarray, "21 2"], color: tuple[int, int, int]) -> None:
    # Pixel (0, 0) of OpenCV has its centre at 0.5 of ours; joints may lie far outside.
    places = np.nan_to_num((hand - 0.5).clip(-TILE, 2 * TILE) * 2**SUBPIXEL_BITS).round().astype(int).tolist()
    present = np.isfinite(hand.sum(-1))
    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0 and present[joint] and present[parent]:
            cv2.line(tile, places[parent], places[joint], color, 2, cv2.LINE_AA, SUBPIXEL_BITS)
    for joint in np.flatnonzero(present):
        cv2.circle(tile, places[joint], 2 << SUBPIXEL_BITS, (255, 255, 255), -1, cv2.LINE_AA, SUBPIXEL_BITS)


def landmark_sheet(tiles: Sequence[UInt8[np.ndarray, "S S 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Tiles of one size in rows; at least one."""
    columns = min(COLUMNS, len(tiles))
    padded = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])
