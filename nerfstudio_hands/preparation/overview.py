"""A picture of what was found: some frames of a capture with the landmarks of its hands."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.captures.capture import read_image
from nerfstudio_hands.captures.formats.pictures import read_pictures

TILES, COLUMNS, TILE = 12, 4, 320
COLORS = {0: (60, 130, 255), 1: (255, 140, 30)}
"""Of the left and of the right hand, as the viewer has them."""

BONES = [(0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)]


def overview(root: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Contact sheet of a prepared capture.

    Args:
        root: Folder that `prepare` made.
    """
    capture = read_pictures(root)
    keys = sorted(capture.images)
    chosen = [keys[i] for i in np.linspace(0, len(keys) - 1, min(TILES, len(keys))).round().astype(int)]
    tiles = []
    for frame, name in chosen:
        image = read_image(capture.images[frame, name]).copy()
        at = capture.frames.index(frame), capture.camera_index(name)
        tiles.append(_tile(image, capture.detections[at], f"{name} {frame}"))  # pyright: ignore[reportOptionalSubscript]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])


def _tile(
    image: UInt8[np.ndarray, "H W 3"], hands: Float[np.ndarray, "2 21 2"], caption: str
) -> UInt8[np.ndarray, "S S 3"]:
    scale = TILE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    for side, hand in enumerate(hands * scale):
        for first, second in BONES if np.isfinite(hand).all() else ():
            ends = [tuple(int(round(v * 8)) for v in hand[joint]) for joint in (first, second)]
            cv2.line(tile, ends[0], ends[1], COLORS[side], 2, cv2.LINE_AA, 3)
    cv2.putText(tile, caption, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return tile
