"""Whole crops, each once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.datamanagers.crop_cache import CropCache, CropWriter
from nerfstudio_hands.datamanagers.crop_cutting import crop_pixels
from nerfstudio_hands.datamanagers.image_sampler import ImageSampler, ImageSamplerConfig
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource, PixelLabels
from nerfstudio_hands.labels import PixelLabel


@pytest.fixture
def crops(tmp_path: Path) -> CropCache:
    """Three pictures, rows 5, 6 and 7, of hands of different size; colour says where each pixel is."""
    writer = CropWriter(tmp_path / "crops.npz")
    for row, side in ((5, 8), (6, 12), (7, 20)):
        label = np.full((64, 80), PixelLabel.BACKGROUND, dtype=np.uint8)
        label[8 : 12 + side, 28 : 32 + side] = PixelLabel.IGNORE
        label[10 : 10 + side, 30 : 30 + side] = PixelLabel.HAND
        y, x = np.mgrid[:64, :80]
        nothing = np.zeros(label.shape, dtype=bool)
        image = np.stack([np.full_like(y, row), y, x], -1).astype(np.uint8)
        pixels, top, left = crop_pixels(
            image, PixelLabels(label, nothing, nothing, nothing, nothing, MaskSource.CAPTURE), 4
        )
        writer.add(image=row, frame=0, source=MaskSource.CAPTURE, pixels=pixels, top=top, left=left)
    writer.finish()
    return CropCache(writer.path)


def test_every_image_comes_once_before_any_comes_again(crops):
    sampler = ImageSampler(ImageSamplerConfig(num_rays_per_batch=16))
    sampler.generator = np.random.default_rng(0)
    rows = [int(sampler.sample(crops)["indices"][0, 0]) for _ in range(12)]
    rounds = [rows[start : start + 3] for start in range(0, 12, 3)]
    assert all(sorted(found) == [5, 6, 7] for found in rounds)
    assert len({tuple(found) for found in rounds}) > 1


def test_a_crop_is_a_grid_whose_pixels_are_where_they_say(crops):
    sampler = ImageSampler(ImageSamplerConfig(num_rays_per_batch=16))
    batch = sampler.sample(crops)
    height, width = batch["grid"]
    assert batch["image"].shape == (height, width, 3) and batch["hand_label"].shape == (height, width, 1)
    # The colour of each pixel is its row, y and x.
    found = (batch["image"].view(-1, 3) * 255).round().long()
    assert (found == batch["indices"]).all()
    side = {5: 8, 6: 12, 7: 20}[int(batch["indices"][0, 0])]
    assert (batch["hand_label"] == PixelLabel.HAND).sum() == side**2
    assert torch.equal(batch["on_boundary"], batch["hand_label"] == PixelLabel.IGNORE) and batch["on_boundary"].any()
