"""Sheets of held-out pictures in docs (interhand.md, own-pictures.md, hand-uvnerf.md): truth, avatar with calibrated
colour, four times the error.

ns-eval --load-config CONFIG --output-path metrics.json --render-output-path pictures
python scripts/held_out_sheet.py pictures docs/images/interhand_held_out.jpg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

ROWS = ("view_", "pose_", "both_", "")


def main(
    pictures: tyro.conf.Positional[Path],
    output: tyro.conf.Positional[Path],
    columns: int = 3,
    size: tuple[int, int] = (170, 240),
) -> None:
    """Write the sheet.

    Args:
        pictures: Folder that `ns-eval --render-output-path` filled, of a capture with held-out frames.
        output: Picture to write.
        columns: Held-out pictures of each kind, evenly spread.
        size: Width and height of the cut round the middle of the hand, pixels.
    """
    rows = []
    for protocol in ROWS:
        files = sorted(pictures.glob(f"eval_{protocol}img_*.png"))
        if not files:
            continue
        chosen = np.linspace(0, len(files) - 1, 2 * columns + 1).round().astype(int)[1::2]
        rows.append(np.concatenate([tile(files[k], size) for k in chosen], axis=1))
    Image.fromarray(np.concatenate(rows)).save(output, quality=90)


def tile(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Truth, avatar and error side by side, cut round the hand."""
    error = np.asarray(Image.open(file.with_name(file.name.replace("img_", "error_"))))
    picture = np.asarray(Image.open(file))
    height, width = error.shape[:2]
    parts = [picture[:, :width], picture[:, width : 2 * width], error]
    places = np.argwhere(parts[0].max(axis=-1) > 0)
    top, left = (places.min(axis=0) + places.max(axis=0)) // 2 - np.array([size[1], size[0]]) // 2
    top, left = min(max(top, 0), height - size[1]), min(max(left, 0), width - size[0])
    return np.concatenate([part[top : top + size[1], left : left + size[0]] for part in parts], axis=1)


if __name__ == "__main__":
    tyro.cli(main)
