"""What a rendered image is compared with."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.image_losses import coverage_loss, part_loss, random_window


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
    told = {"on_boundary": boundary, "in_mask": in_mask}
    assert coverage_loss(accumulation, label, **told) == pytest.approx((4 * 0.25 + 1) / 11)
    in_mask[:, 4] = True
    assert coverage_loss(accumulation, label, **told) == pytest.approx(4 * 0.25 / 11)
    # Without the mask, nothing is known of what labels leave open.
    assert coverage_loss(accumulation, label) == pytest.approx(4 * 0.25 / 10)


def test_coverage_and_parts_of_a_hand_with_an_object():
    label = torch.tensor([PixelLabel.BACKGROUND, PixelLabel.HAND, PixelLabel.OBJECT, PixelLabel.IGNORE]).view(1, 4, 1)
    of_object = torch.tensor([0.5, 0.25, 0.75, 1.0]).view(1, 4, 1)
    assert part_loss(of_object, label) == pytest.approx((0.5**2 + 0.25**2 + 0.25**2) / 3)
    covered = torch.tensor([0.5, 1.0, 0.75, 1.0]).view(1, 4, 1)
    told = (covered, label)
    assert coverage_loss(*told, (PixelLabel.HAND, PixelLabel.OBJECT)) == pytest.approx((0.5**2 + 0.25**2) / 3)
    # To who models hands alone, an object is neither hand nor background.
    assert coverage_loss(*told) == pytest.approx(0.5**2 / 2)


def test_a_window_holds_its_pixel_and_stays_in_the_image():
    for row, column in ((0, 0), (5, 30), (39, 59)):
        pixels = torch.zeros(40, 60, dtype=torch.bool)
        pixels[row, column] = True
        window = random_window(pixels, 16)
        assert pixels[window].shape == (16, 16) and pixels[window].any()
