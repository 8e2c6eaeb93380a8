"""Which pixels training sees."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.datamanagers.hand_datamanager import HandPixelSampler, HandPixelSamplerConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_region import BACKGROUND, HAND, NO_PART

SIZE = 64


@pytest.fixture
def pictures() -> dict:
    """Two pictures whose colour says where each pixel is: a hand, a ring that takes no part, background around."""
    label = torch.full((2, SIZE, SIZE, 1), BACKGROUND, dtype=torch.uint8)
    label[:, 18:34, 18:34] = NO_PART
    label[:, 20:32, 20:32] = HAND
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    image = torch.stack([torch.stack([torch.full_like(y, row), y, x], dim=-1) for row in range(2)]).float()
    return {"image": image, "hand_label": label, "image_idx": torch.tensor([4, 9])}


def sampler(**options) -> HandPixelSampler:
    return HandPixelSampler(HandPixelSamplerConfig(num_rays_per_batch=400, **options))


def test_rays_come_from_the_hand_and_the_background_next_to_it(pictures):
    batch = sampler(rim_fraction=0.25).sample(pictures)
    label = batch["hand_label"].view(-1)
    assert (label == HAND).sum() == 300 and (label == BACKGROUND).sum() == 100
    _, y, x = batch["indices"][label == BACKGROUND].T
    assert torch.maximum((y - 25.5).abs(), (x - 25.5).abs()).max() <= 6 + 12
    assert set(batch["indices"][:, 0].tolist()) == {4, 9}


def test_colours_belong_to_their_pixels(pictures):
    batch = sampler().sample(pictures)
    row = (batch["indices"][:, 0] == 9).long()
    assert torch.equal(batch["image"].long(), torch.cat([row[:, None], batch["indices"][:, 1:]], dim=1))


def test_pictures_of_different_size(pictures):
    lists = {**pictures, "image": list(pictures["image"]), "hand_label": list(pictures["hand_label"])}
    lists["image"][1], lists["hand_label"][1] = lists["image"][1][:50], lists["hand_label"][1][:50]
    batch = sampler().sample(lists)
    assert torch.equal(batch["image"][:, 1:].long(), batch["indices"][:, 1:])
    assert batch["indices"][batch["indices"][:, 0] == 9, 1].max() < 50


def test_patches_are_whole_squares_in_the_picture(pictures):
    size = 16
    with_patches = sampler(num_patches=3, patch_size=size)
    assert with_patches.sample(pictures)["num_patch_rays"] == 0  # No model has asked.
    with_patches.draws_patches = True
    batch = with_patches.sample(pictures)
    assert batch["num_patch_rays"] == 3 * size**2 and len(batch["image"]) == 400 + 3 * size**2
    for patch in batch["indices"][-3 * size**2 :].view(3, size, size, 3):
        assert len(patch[..., 0].unique()) == 1
        assert (patch[1:, :, 1] - patch[:-1, :, 1] == 1).all() and (patch[:, 1:, 2] - patch[:, :-1, 2] == 1).all()
        assert patch[..., 1:].min() >= 0 and patch[..., 1:].max() < SIZE


def test_patches_start_when_told(pictures):
    late = sampler(num_patches=1, patches_from=10)
    late.draws_patches = True
    assert late.sample(pictures)["num_patch_rays"] == 0
    late.step = 10
    assert late.sample(pictures)["num_patch_rays"] == 32**2


def test_rows_restrict_what_exporters_see(pictures):
    restricted = sampler()
    restricted.rows = torch.tensor([1])
    assert set(restricted.sample(pictures)["indices"][:, 0].tolist()) == {9}


def test_no_hand_at_all_is_said(pictures):
    pictures["hand_label"].fill_(BACKGROUND)
    with pytest.raises(HandsError, match="ns-hands check"):
        sampler().sample(pictures)
