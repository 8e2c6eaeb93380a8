"""Pictures that show no pixel of the hand are left out, counted and named; where none is left, that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.prepared import PreparedConfig, rows_of
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from PIL import Image

from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManager, HandDataManagerConfig
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSamplerConfig
from nerfstudio_hands.datamanagers.image_sampler import ImageSamplerConfig

SAMPLERS = [HandPixelSamplerConfig, ImageSamplerConfig]
EMPTY, OUTSIDE, ARM_ONLY = 1, 2, 3


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))


def with_masks(outputs: DataparserOutputs) -> DataparserOutputs:
    """Gives every picture the mask of what was drawn into it."""
    for row, path in enumerate(outputs.image_filenames):
        mask = path.with_name(f"mask-{path.name}")
        Image.fromarray(((np.asarray(Image.open(path))[..., 0] > 128) * 255).astype(np.uint8)).save(mask)
        outputs.metadata["masks"][row].given = mask
        outputs.metadata["masks"][row].verdict = "good"
    return outputs


def look_away(outputs: DataparserOutputs, row: int) -> None:
    """Moves a camera sideways until the hand is out of its picture."""
    outputs.cameras.camera_to_worlds[row, :, 3] += outputs.cameras.camera_to_worlds[row, :, 0]


@pytest.fixture(params=[True, False], ids=["masks", "no masks"])
def spoilt(request, moving_hand) -> DataparserOutputs:
    """Eight pictures. Of one the mask is empty, and two are of cameras that see past the hand, one of them with a mask
    all the same: of an arm. Without masks, all three see past the hand."""
    outputs = moving_hand(4)
    if request.param:
        outputs = with_masks(outputs)
        Image.new("L", (96, 112)).save(outputs.metadata["masks"][EMPTY].given)
        outputs.metadata["masks"][EMPTY].verdict = "useless"
    else:
        look_away(outputs, EMPTY)
    for row in (OUTSIDE, ARM_ONLY):
        look_away(outputs, row)
        if request.param and row == OUTSIDE:
            Image.new("L", (96, 112)).save(outputs.metadata["masks"][row].given)
    return outputs


def manager(train: DataparserOutputs, held_out: DataparserOutputs, sampler=HandPixelSamplerConfig) -> HandDataManager:
    config = HandDataManagerConfig(
        dataparser=PreparedConfig(splits={"train": train, "held-out": held_out}),
        pixel_sampler=sampler(),
        train_num_rays_per_batch=200,
    )
    return config.setup(device="cpu", test_mode="val")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_they_are_left_out_and_named_in_one_warning(spoilt, capsys, sampler):
    for _ in range(2):  # Cut, and read again.
        data = manager(spoilt, rows_of(spoilt, [0, EMPTY, OUTSIDE, ARM_ONLY]), sampler)
        warnings = [line for line in capsys.readouterr().out.splitlines() if "no pixel of the hand" in line]
        assert len(warnings) == 2  # One on training, one on what is held out.
        assert warnings[0].startswith("3 of 8 pictures (train)") and warnings[1].startswith(
            "3 of 4 pictures (held-out)"
        )
        for row in (EMPTY, OUTSIDE, ARM_ONLY):
            assert str(spoilt.image_filenames[row]) in warnings[0]
    drawn = [data.next_train(step) for step in range(20)]
    assert {row for _, batch in drawn for row in batch["indices"][:, 0].tolist()} == {0, 4, 5, 6, 7}
    assert all((batch["hand_label"] == 1).any() for _, batch in drawn)
    assert all(torch.isfinite(rays.directions).all() for rays, _ in drawn)
    assert [int(batch["image_idx"]) for _, batch in data.fixed_indices_eval_dataloader] == [0]
    assert {int(data.next_eval_image(step)[1]["image_idx"]) for step in range(10)} == {0}
    assert set(data.next_eval(0)[1]["indices"][:, 0].tolist()) == {0}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_where_no_image_is_left_that_is_said(spoilt, sampler):
    nothing = rows_of(spoilt, [EMPTY, OUTSIDE, ARM_ONLY])
    with pytest.raises(SystemExit, match="error: training pictures: expected pixels of the hand, found none"):
        manager(nothing, rows_of(spoilt, [0]), sampler)


def test_training_goes_on_where_no_held_out_image_is_left(spoilt, capsys):
    data = manager(spoilt, rows_of(spoilt, [OUTSIDE, ARM_ONLY]))
    assert "there is no evaluation" in capsys.readouterr().out
    # What nerfstudio's trainer asks before it evaluates.
    assert not data.eval_dataset
    assert len(data.next_train(0)[0]) == 200
    with pytest.raises(SystemExit, match="error: evaluation: expected held-out pictures of the hand, found none"):
        assert data.fixed_indices_eval_dataloader


def test_held_out_images_without_a_usable_mask_get_no_figures(moving_hand, capsys):
    outputs = with_masks(moving_hand(2))
    outputs.metadata["masks"][1].verdict = "useless"
    data = manager(outputs, outputs)
    assert [int(batch["image_idx"]) for _, batch in data.fixed_indices_eval_dataloader] == [0, 2, 3]
    said = capsys.readouterr().out
    assert "1 held-out pictures have no mask where the hand is" in said and str(outputs.image_filenames[1]) in said
    with pytest.raises(SystemExit, match="error: evaluation: expected masks of the hand"):
        assert manager(outputs, rows_of(outputs, [1])).fixed_indices_eval_dataloader
