"""A sheet of held-out pictures of many captures: of each, the one in the middle beside the avatar."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile
from nerfstudio_hands.fleet import addresses

MOST_TILES = 48
"""Avatars on a sheet, evenly spread over all."""
COLUMNS = 4
TILE = (300, 200)
"""Width and height of the pair, pixels."""
CAPTION = 16
MARGIN = 0.1
"""Of the hand's size, round it."""
PAPER = (255, 255, 255)


def make_sheet(rows: Sequence[tuple[str, str]], results: str) -> bytes | None:
    """The sheet as JPEG.

    Args:
        rows: Caption of each avatar, and the folder below the results that `ns-eval` filled with pictures.
        results: Folder or URL.

    Returns:
        The file; None where there are no pictures.
    """
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_TILES)).round().astype(int)]
    tiles = [(caption, pair) for caption, folder in chosen if (pair := _pair(addresses.join(results, folder)))]
    if not tiles:
        return None
    columns = min(COLUMNS, len(tiles))
    height = TILE[1] + CAPTION
    sheet = Image.new("RGB", (columns * TILE[0], -(-len(tiles) // columns) * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (caption, pair) in enumerate(tiles):
        left, top = number % columns * TILE[0], number // columns * height
        draw.text((left + 3, top + 2), caption[:48], fill=(0, 0, 0))
        sheet.paste(pair, (left + (TILE[0] - pair.width) // 2, top + CAPTION + (TILE[1] - pair.height) // 2))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=90)
    return content.getvalue()


def _pair(folder: str) -> Image.Image | None:
    """Photograph and avatar of the picture in the middle, cut round the hand."""
    try:
        names = addresses.names(folder, "*_img_*.png")
        content = addresses.read_file(addresses.join(folder, names[len(names) // 2])) if names else None
        if content is None:
            return None
        with Image.open(io.BytesIO(content)) as image:
            return cut_pair(np.asarray(image.convert("RGB")))
    # A picture that somebody has spoiled is left out of the sheet.
    except (HandsError, UnreadableFile, OSError, Image.DecompressionBombError):
        return None


def cut_pair(picture: np.ndarray) -> Image.Image:
    """The first two of the pictures that `ns-eval` writes side by side, cut alike.

    Args:
        picture: [H, 3W, 3] photograph without its background, avatar with calibrated color, and as it is.
    """
    width = picture.shape[1] // 3
    truth, avatar = picture[:, :width], picture[:, width : 2 * width]
    rows, columns = np.nonzero(truth.max(axis=-1))
    if len(rows) == 0:
        rows, columns = np.array([0, len(truth) - 1]), np.array([0, width - 1])
    margin = int(MARGIN * max(np.ptp(rows), np.ptp(columns)))
    top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
    window = (slice(top, rows.max() + margin + 1), slice(left, columns.max() + margin + 1))
    pair = Image.fromarray(np.concatenate([truth[window], avatar[window]], axis=1))
    return ImageOps.contain(pair, TILE)
