"""What rendered pixels are compared with, and how."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.losses import (
    SATURATION,
    PixelTargets,
    attraction_loss,
    color_loss,
    eikonal_loss,
    penetration_loss,
)


def test_color_loss_forgives_a_prediction_brighter_than_a_saturated_pixel():
    truth = torch.tensor([[SATURATION + 0.01, 0.5, 0.5]])
    assert color_loss(torch.tensor([[3.0, 0.5, 0.5]]), truth, 0.04) == 0
    assert color_loss(torch.tensor([[0.9, 0.5, 0.5]]), truth, 0.04) > 0
    assert color_loss(torch.tensor([[1.0, 0.6, 0.5]]), truth, 0.04) > 0


def test_on_the_boundary_the_mask_says_what_is_opaque_and_nothing_says_the_color():
    label = torch.tensor([PixelLabel.HAND, PixelLabel.BACKGROUND, PixelLabel.IGNORE, PixelLabel.IGNORE])[:, None]
    boundary = torch.tensor([False, False, True, True])[:, None]
    mask = torch.tensor([True, False, True, False])[:, None]
    batch = {"image": torch.rand(4, 3), "hand_label": label, "on_boundary": boundary, "in_mask": mask}
    found = PixelTargets.of(batch, (PixelLabel.HAND,), "cpu")
    assert found.supervised.tolist() == [True, False, False, False]
    assert found.known.tolist() == [True, True, False, False]
    assert found.opacity_known.all() and found.opaque.tolist() == [True, False, True, False]


def test_losses_of_distances():
    distance = torch.tensor([-2.0, 0.0, 0.5, 3.0])
    assert penetration_loss(distance) == pytest.approx(1.0)
    assert attraction_loss(distance) == pytest.approx(0.125)
    assert eikonal_loss(torch.tensor([[2.0, 0, 0], [0, 1, 0]])) == pytest.approx(0.5)
    assert eikonal_loss(torch.zeros(0, 3)) == 0
