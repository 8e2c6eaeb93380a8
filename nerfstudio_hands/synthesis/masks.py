"""Masks as people and programs make them: of too much, with holes, or none at all."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from nerfstudio_hands.synthesis.options import MaskOptions
from nerfstudio_hands.synthesis.render import RenderedImage

HOLE_SIZES = (0.02, 0.06)
"""Half axes of a hole, in widths of the picture."""


def made_mask(image: RenderedImage, options: MaskOptions, rng: np.random.Generator) -> Float[np.ndarray, "H W"]:
    """Part of each pixel that a mask shows.

    Args:
        image: What is seen.
        options: What the mask shows of it; not `none`.
        rng: Draws the holes.
    """
    shown = {"hand": image.hand, "forearm": image.skin, "sleeve": image.skin + image.sleeve}[options.show]
    return shown * ~_holes(shown > 0.5, options.holes, rng)


def _holes(mask: Bool[np.ndarray, "H W"], count: int, rng: np.random.Generator) -> Bool[np.ndarray, "H W"]:
    """Ellipses around random pixels of a mask."""
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    total = np.zeros_like(mask)
    places = np.argwhere(mask)
    for _ in range(count if len(places) else 0):
        row, column = places[rng.integers(len(places))]
        half = mask.shape[1] * rng.uniform(*HOLE_SIZES, 2)
        total |= ((rows - row) / half[0]) ** 2 + ((columns - column) / half[1]) ** 2 < 1
    return total
