"""A picture of what was found: some frames of a capture with the landmarks of its hands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerfstudio_hands.captures.formats.pictures import read_images
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.preparation.landmark_sheet import landmark_sheet, landmark_tile

TILES = 12


def overview(root: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Contact sheet of a prepared capture: pictures evenly spread over cameras and frames.

    Args:
        root: Folder that `prepare` made.
    """
    capture = read_images(root)
    keys = sorted(capture.images, key=lambda key: (key[1], key[0]))
    chosen = [keys[i] for i in np.linspace(0, len(keys) - 1, min(TILES, len(keys))).round().astype(int)]
    tiles = []
    for frame, name in chosen:
        hands = capture.detections[capture.frames.index(frame), capture.camera_index(name)]  # pyright: ignore[reportOptionalSubscript]
        tiles.append(landmark_tile(read_image(capture.images[frame, name]), hands, f"{name} {frame}"))
    return landmark_sheet(tiles)
