"""What a rendered image is compared with."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.image_losses import coverage_loss, random_window


def test_coverage_counts_where_the_mask_is_known():
    label = torch.full((12, 12, 1), int(PixelLabel.BACKGROUND))
    label[:, :4] = int(PixelLabel.HAND)
    label[:, 4] = int(PixelLabel.IGNORE)
    accumulation = torch.zeros(12, 12, 1)
    accumulation[:, :4] = 0.5
    accumulation[:, 4] = 1.0
    label[:, 11] = int(PixelLabel.IGNORE)
    accumulation[:, 11] = 1.0
    in_mask, boundary = torch.zeros(2, 12, 12, 1, dtype=torch.bool)
    in_mask[:, :4] = boundary[:, 4] = True
    # Hand pixels miss a half; the mask says that the column beside them is background; the last one takes no part.
    assert coverage_loss(accumulation, label, boundary, in_mask) == pytest.approx((4 * 0.25 + 1) / 11)
    in_mask[:, 4] = True
    assert coverage_loss(accumulation, label, boundary, in_mask) == pytest.approx(4 * 0.25 / 11)


def test_a_window_holds_its_pixel_and_stays_in_the_image():
    for row, column in ((0, 0), (5, 30), (39, 59)):
        pixels = torch.zeros(40, 60, dtype=torch.bool)
        pixels[row, column] = True
        window = random_window(pixels, 16)
        assert pixels[window].shape == (16, 16) and pixels[window].any()
