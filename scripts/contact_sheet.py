"""Tiles pictures of a capture in the layout of InterHand2.6M: a row a camera of a sequence, a column a frame.

    ns-hands synthesize interhand --output /tmp/takes --num-cameras 2 --frames 10 --sequences ROM03_RT_No_Occlusion \
        ROM04_LT_Occlusion ROM09_Interaction_Fingers_Touching
    python scripts/contact_sheet.py --capture /tmp/takes --output docs/images/interhand_synthetic.jpg
"""

from __future__ import annotations

from pathlib import Path

import tyro
from PIL import Image


def main(capture: Path, output: Path, stride: int = 1, height: int = 200, quality: int = 85) -> None:
    """Write the sheet.

    Args:
        capture: Folder with `images`.
        output: Picture to write.
        stride: Every so many frames of a sequence.
        height: Pixels of a tile; its width follows.
        quality: Of the JPEG.
    """
    cameras = sorted(capture.glob("images/*/Capture*/*/cam*"))
    rows = [sorted(camera.iterdir(), key=lambda path: int(path.stem[5:]))[::stride] for camera in cameras]
    width = height * 334 // 512
    sheet = Image.new("RGB", (width * max(map(len, rows)), height * len(rows)))
    for y, row in enumerate(rows):
        for x, path in enumerate(row):
            with Image.open(path) as picture:
                tile = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(tile, (x * width, y * height))
    sheet.save(output, quality=quality)


if __name__ == "__main__":
    tyro.cli(main)
