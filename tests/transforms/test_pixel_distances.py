"""Distances of pixels."""

from __future__ import annotations

import numpy as np

from nerfstudio_hands.transforms.pixel_distances import distance_to


def test_distances_are_roots_of_whole_numbers_to_the_last_bit() -> None:
    """Wherever the memory of the picture lies."""
    mask = np.random.default_rng(0).random((53, 34)) < 0.01
    rows, columns = np.nonzero(mask)
    y, x = np.indices(mask.shape)
    squared = ((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(-1)
    for shift in range(8):
        moved = np.zeros(mask.size + 64, bool)[shift : shift + mask.size].reshape(mask.shape)
        moved[:] = mask
        np.testing.assert_array_equal(distance_to(moved), np.sqrt(squared.astype(np.float32)))
