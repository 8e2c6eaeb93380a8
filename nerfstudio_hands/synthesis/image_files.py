"""Images and masks of captures as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

JPEG_QUALITY = 95
"""Of rendered pictures."""


def write_image(path: Path, image: UInt8[np.ndarray, "H W *channels"], **options: int) -> None:
    """Write an image into folders that are made; `options` are those of Pillow for its format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)  # pyright: ignore[reportArgumentType]


def write_mask(path: Path, coverage: Float[np.ndarray, "H W"]) -> None:
    """Write 255 where more than half of a pixel is covered, 0 elsewhere."""
    write_image(path, np.where(coverage > 0.5, 255, 0).astype(np.uint8), optimize=True)
