"""Cameras of one rig may take pictures of different sizes: rows, batches and figures come out as for one size."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.prepared import PreparedConfig
from PIL import Image

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import split_capture
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManager, HandDataManagerConfig
from nerfstudio_hands.dataparsers.avatar_data import AvatarData, capture_to_outputs
from nerfstudio_hands.evaluation import image_metrics
from nerfstudio_hands.evaluation.perceptual import MissingWeights
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig
from nerfstudio_hands.training.pipeline import HandPipeline

TRAINING, HELD_OUT = ["00", "03"], ["01", "05"]
WIDE = {"03": (320, 240), "05": (320, 240)}
"""Cameras whose pictures are not 256x256 like the others'."""


@pytest.fixture(scope="module")
def rig(demo_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped capture; pictures, masks and K of some cameras are stretched."""
    scan = tmp_path_factory.mktemp("rig") / "1"
    shutil.copytree(demo_capture, scan)
    with np.load(scan / "camera" / "param.npz") as archive:
        arrays = dict(archive)
    for name, size in WIDE.items():
        stretch = np.diag([size[0] / 256, size[1] / 256, 1, 1])
        for kind in ("int", "world_mat"):
            arrays[f"{kind}_{int(name)}"] = stretch @ arrays[f"{kind}_{int(name)}"]
        for folder in ("img", "mask"):
            path = scan / folder / f"{name}.png"
            Image.open(path).resize(size, Image.Resampling.NEAREST).save(path)
    np.savez(scan / "camera" / "param.npz", **arrays)
    return scan


@pytest.fixture(scope="module")
def manager(rig: Path, true_fit, tmp_path_factory: pytest.TempPathFactory) -> HandDataManager:
    """Half the size in training, the whole in evaluation."""
    capture = read_capture(rig, layout="auto")
    split = split_capture(capture, cameras=[*TRAINING, *HELD_OUT], eval_cameras=HELD_OUT)
    options = {"hand": "both", "hand_model": "default", "max_resolution": 640, "max_eval_images": 0}
    train, held_out = (
        capture_to_outputs(capture, true_fit, split, train=train, resolution_scale=0.5, **options)
        for train in (True, False)
    )
    config = HandDataManagerConfig(
        dataparser=PreparedConfig(splits={"train": train, "held-out": held_out}), train_num_rays_per_batch=400
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path_factory.mktemp("crops")))
        return config.setup(device="cpu", test_mode="val")


class Model:
    """Draws the fitted hands white on nothing, at the size of the camera."""

    device = "cpu"
    learned_labels = (PixelLabel.HAND,)
    get_image_metrics_and_images = PosedHandModel.get_image_metrics_and_images

    def __init__(self, avatar: AvatarData):
        self.hands = Surfaces(avatar.surface.faces, avatar.all_vertices([0]))

    def get_outputs_for_camera(self, camera) -> dict[str, torch.Tensor]:
        to_world = torch.eye(4)
        to_world[:3] = camera.camera_to_worlds[0]
        to_world[:, 1:3] *= -1
        size = int(camera.width), int(camera.height)
        seen = rasterize(self.hands, camera.get_intrinsics_matrices()[0], torch.linalg.inv(to_world), *size).face >= 0
        drawn = seen.float()[..., None]
        colors = drawn.expand(-1, -1, 3)
        return {"radiance": colors, "accumulation": drawn, "rgb": colors, "depth": drawn, "normals": colors}


def test_a_batch_has_pixels_of_both_sizes(manager):
    dataset = manager.train_dataset
    assert [dataset[row]["image"].shape[:2] for row in range(2)] == [(128, 128), (120, 160)]
    _, batch = manager.next_train(0)
    rows, y, x = batch["indices"].T
    assert set(rows.tolist()) == {0, 1}
    for row in range(2):
        mine = rows == row
        assert torch.equal(batch["image"][mine], dataset[row]["image"][y[mine], x[mine]])


def test_held_out_images_of_both_sizes_are_judged(manager, tmp_path, monkeypatch):
    def missing(net: str):
        raise MissingWeights("not here")

    monkeypatch.setattr(image_metrics, "load_lpips", missing)
    image_metrics._lpips_network.cache_clear()
    pipeline = SimpleNamespace(
        config=SimpleNamespace(model=PosedHandModelConfig()),
        device="cpu",
        model=Model(manager.eval_dataset.metadata["hands"]),
        eval=lambda: None,
        train=lambda: None,
    )
    loader, judged = manager.fixed_indices_eval_dataloader, []
    judge = pipeline.model.get_image_metrics_and_images
    pipeline.model.get_image_metrics_and_images = lambda *args: judged.append(judge(*args)) or judged[-1]
    means = HandPipeline.get_average_image_metrics(pipeline, loader, "eval", output_path=tmp_path, get_std=True)
    sizes = [(figures["image_width"], figures["image_height"]) for figures, _ in judged]
    assert sizes == [(256, 256), (320, 240)] and means["image_width"] == 288
    # The hands are drawn where they are seen in either.
    assert all(figures["mask_iou"] > 0.9 for figures, _ in judged)
    assert len(list(tmp_path.glob("eval_pixels_*.npz"))) == 2
