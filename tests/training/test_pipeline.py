"""Figures are averaged a protocol each."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.pipelines.base_pipeline import VanillaPipeline

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.models.posed_hand_model import PosedHandModelConfig
from nerfstudio_hands.training.pipeline import HandPipeline, HandPipelineConfig, with_patches

PSNR = [20.0, 30.0, float("nan"), 10.0, 26.0]
PROTOCOLS = ["view", "view", "pose", "pose", "both"]


class Loader(list):
    image_indices = ()
    """No camera is turned onto its pictures."""


def evaluate(tmp_path, protocols):
    camera = SimpleNamespace(metadata={"camera_index": 1})
    loader = Loader((camera, {"image_idx": row, "mask_is_own": False}) for row in range(len(PSNR)))
    names = [f"{row}.png" for row in range(len(PSNR))]
    metadata = {"protocols": protocols, "hands": SimpleNamespace(camera_names=["00", "01"])}
    loader.dataset = loader.input_dataset = SimpleNamespace(metadata=metadata, image_filenames=names)
    rows = iter(PSNR)
    pictures = {key: torch.full((4, 4, 3), 0.25) for key in ("img", "truth", "prediction", "calibrated")}
    pictures |= {key: torch.ones(4, 4, 1) for key in ("region", "counted", "drawn")}
    pipeline = SimpleNamespace(
        config=SimpleNamespace(model=PosedHandModelConfig()),
        device="cpu",
        model=SimpleNamespace(
            get_outputs_for_camera=lambda camera: {},
            get_image_metrics_and_images=lambda outputs, batch: ({"psnr": next(rows)}, pictures),
        ),
        eval=lambda: None,
        train=lambda: None,
    )
    return HandPipeline.get_average_image_metrics(pipeline, loader, "eval", output_path=tmp_path, get_std=True)


def test_protocols_are_kept_apart_and_images_without_a_hand_do_not_count(tmp_path):
    figures = evaluate(tmp_path, PROTOCOLS)
    assert figures["view/psnr"] == 25 and figures["view/psnr_std"] == 5
    assert figures["pose/psnr"] == 10 and figures["both/psnr"] == 26
    assert figures["psnr"] == pytest.approx((20 + 30 + 10 + 26) / 4)
    assert figures["fps"] > 0 and not math.isnan(figures["both/fps"])
    for row, protocol in enumerate(PROTOCOLS):
        assert (tmp_path / f"eval_{protocol}_img_{row:04d}.png").exists()
        with np.load(tmp_path / f"eval_{protocol}_pixels_{row:04d}.npz") as pixels:
            assert (pixels["truth"] == 64).all() and pixels["drawn"].shape == (4, 4)
    account = json.loads((tmp_path / "figures.json").read_text())
    assert [(entry["picture"], entry["figures"]["psnr"]) for entry in account][3:] == [("3.png", 10), ("4.png", 26)]
    assert account[0]["camera"] == "01" and account[0]["turn_degrees"] == [0, 0, 0]


def test_a_capture_of_one_pose_has_no_protocols(tmp_path):
    figures = evaluate(tmp_path, None)
    assert set(figures) == {"psnr", "psnr_std", "fps", "fps_std"}
    assert (tmp_path / "eval_img_0004.png").exists()


def test_a_loss_that_is_no_number_stops_the_training_and_is_named(monkeypatch):
    losses = {"color": torch.tensor(0.3), "mask": torch.tensor(float("nan"))}
    monkeypatch.setattr(VanillaPipeline, "get_train_loss_dict", lambda self, step: ({}, losses, {}))
    with pytest.raises(HandsError, match="finite losses, found nan for 'mask' at step 7"):
        HandPipeline.get_train_loss_dict(HandPipeline.__new__(HandPipeline), 7)
    losses["mask"] = torch.tensor(0.1)
    assert HandPipeline.get_train_loss_dict(HandPipeline.__new__(HandPipeline), 7)[1] is losses


@pytest.mark.parametrize("weight", [0.0, 0.01])
def test_patches_are_drawn_where_a_loss_looks_at_them(weight):
    config = HandPipelineConfig(model=PosedHandModelConfig(perceptual_loss_weight=weight))
    assert with_patches(config).datamanager.pixel_sampler.draws_patches == (weight > 0)
    # What stands in config.yml is not touched.
    assert not config.datamanager.pixel_sampler.draws_patches


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["/bin/ns-export", "marching-cubes", "--load-config", "c"], "there are pointcloud, tsdf, poisson, cameras"),
        (["ns-export", "gaussian-splat"], "--format splat"),
        (["ns-export", "tsdf"], None),
        (["ns-eval", "gaussian-splat"], None),
    ],
)
def test_exporters_for_other_methods_are_refused(words: list[str], found: str | None):
    pipeline = SimpleNamespace(model=SimpleNamespace(config=PosedHandModelConfig()))
    pipeline.exports = lambda: HandPipeline.exports(pipeline)
    pipeline.export_remedy = lambda: HandPipeline.export_remedy(pipeline)
    if found is None:
        HandPipeline._check_export(pipeline, words)
        return
    with pytest.raises(SystemExit, match=f"error: ns-export {words[1]}: expected a method .*{found}"):
        HandPipeline._check_export(pipeline, words)


def test_a_full_disk_leaves_no_half_file_of_an_evaluation(tmp_path, monkeypatch):
    def full(file, **arrays):
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(SystemExit, match="expected a folder for held-out pictures .*No space left on device"):
        evaluate(tmp_path, PROTOCOLS)
    assert {path.suffix for path in tmp_path.iterdir()} == {".png"}
