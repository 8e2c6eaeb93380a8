"""nerfstudio's data manager over crops: rays and pixels that belong together, and loaders that hold one picture."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.prepared import PreparedConfig, rows_of
from nerfstudio.model_components.ray_generators import RayGenerator

from nerfstudio_hands.datamanagers.batch import ImageBatch, RayBatch
from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManager, HandDataManagerConfig
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSamplerConfig
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.labels import PixelLabel


@pytest.fixture
def manager(moving_hand, tmp_path, monkeypatch):
    """Makes a data manager over the made-up capture, with rows of it held out."""
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    outputs = moving_hand(4)

    def make(held_out: bool = True, test_mode: str = "val", sampler=None, **options) -> HandDataManager:
        splits = {"train": outputs, "held-out": outputs if held_out else rows_of(outputs, [])}
        config = HandDataManagerConfig(
            dataparser=PreparedConfig(splits=splits),
            pixel_sampler=sampler or HandPixelSamplerConfig(),
            train_num_rays_per_batch=300,
        )
        return config.setup(device="cpu", test_mode=test_mode, **options)

    return make


def test_rays_are_those_of_the_pixels(manager):
    data = manager()
    rays, batch = data.next_train(0)
    assert rays.origins.shape == (300, 3) and batch["image"].shape == (300, 3)
    assert set(batch) == set(RayBatch.__annotations__)
    truth = RayGenerator(data.train_dataset.cameras)(batch["indices"])
    for key in ("origins", "directions", "pixel_area"):
        assert torch.allclose(getattr(rays, key), getattr(truth, key), atol=1e-6)
    assert all(torch.equal(rays.metadata[key], truth.metadata[key]) for key in ("frame_index", "camera_index"))


def test_no_image_is_kept_as_float(manager):
    data = manager()
    data.next_train(0)
    gc.collect()
    height, width = 112, 96
    pictures = [
        tensor.shape
        for tensor in gc.get_objects()
        if isinstance(tensor, torch.Tensor) and tensor.shape[-3:] == (height, width, 3) and tensor.is_floating_point()
    ]
    assert not pictures
    assert data.train_crops.crop(0).pixels.dtype == np.uint8


def test_evaluation_as_nerfstudio_s_pipeline_does_it(manager):
    data = manager()
    rays, batch = data.next_eval(0)
    assert len(rays) == data.get_eval_rays_per_batch() == len(batch["image"])
    camera, batch = data.next_eval_image(0)
    assert camera.shape == (1,) and batch["hand_mask"].shape == (112, 96, 1)
    seen = [(int(batch["image_idx"]), batch) for _, batch in data.fixed_indices_eval_dataloader]
    assert [row for row, _ in seen] == list(range(8))
    direct = EvaluationImages(data.train_dataparser_outputs)[5]
    for key in ("image", "hand_mask", "hand_region", "hand_ignored", "hand_inner"):
        assert torch.equal(seen[5][1][key], direct[key])
    assert set(seen[5][1]) == set(ImageBatch.__annotations__)
    assert seen[5][1]["mask_is_own"] and seen[5][1]["training_scale"] == 1


def test_held_out_images_that_show_nothing_are_not_evaluated(manager):
    data = manager()
    Path(data.train_dataparser_outputs.image_filenames[3]).unlink()
    data = manager()
    assert [int(batch["image_idx"]) for _, batch in data.fixed_indices_eval_dataloader] == [0, 1, 2, 4, 5, 6, 7]


def test_without_held_out_images_it_trains_and_says_what_is_missing(manager):
    data = manager(held_out=False)
    assert len(data.next_train(0)[0]) == 300
    with pytest.raises(SystemExit, match="--eval-cameras"):
        assert hasattr(data, "fixed_indices_eval_dataloader")


def test_exporters_see_one_frame(manager, monkeypatch):
    trained = manager()
    assert len(trained.next_train(0)[0].metadata["frame_index"].unique()) == 4
    looked_at, labels = [], TrainingImages.labels
    monkeypatch.setattr(
        TrainingImages, "labels", lambda self, row, image: looked_at.append(row) or labels(self, row, image)
    )
    exported = manager(test_mode="test")
    assert not looked_at  # Held-out crops are there, training crops are not wanted yet.
    exported.train_pixel_sampler.num_rays_per_batch = 50
    rays, batch = exported.next_train(0)
    assert rays.metadata["frame_index"].unique().tolist() == [0] and len(rays) == 50
    assert set(batch["indices"][:, 0].tolist()) == {0, 1} == set(looked_at)


def test_processes_draw_different_pixels_and_repeat_their_own(manager):
    torch.manual_seed(42)
    first, again, other = (manager(local_rank=rank).next_train(0)[1]["indices"] for rank in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.manual_seed(43)
    assert not torch.equal(first, manager().next_train(0)[1]["indices"])


def test_patches_are_for_training_alone(manager):
    data = manager(sampler=HandPixelSamplerConfig(draws_patches=True))
    assert data.next_eval(0)[1]["num_patch_rays"] == 0
    rays, batch = data.next_train(0)
    assert len(rays) == 300 + batch["num_patch_rays"] == 300 + 32**2
    assert (batch["hand_label"][-(32**2) :] == PixelLabel.HAND).any()


def test_a_user_s_fault_is_one_sentence(manager, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "file"))
    with pytest.raises(SystemExit, match="error: .*NERFSTUDIO_HANDS_CACHE"):
        manager()
    assert (tmp_path / "file").read_text() == "mine"
