"""A held-out camera that is off is turned onto its own pictures, and nothing but figures comes of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import split_capture
from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs
from nerfstudio_hands.evaluation.camera_turn import LIMIT_DEGREES
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.registered_cameras import turned_camera
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig
from nerfstudio_hands.training.pipeline import HandPipeline

HELD_OUT = ["01", "05"]
NOISE = 0.03
"""Of the photographed pictures: even an avatar without fault reaches 30 dB."""


class Painted:
    """The posed hands with a smooth pattern on them."""

    learned_labels = (PixelLabel.HAND,)
    get_image_metrics_and_images = PosedHandModel.get_image_metrics_and_images

    def __init__(self, avatar):
        surface, vertices = avatar.surface, avatar.all_vertices([0])
        self.hands = Surfaces(surface.faces, vertices)
        middle = vertices[0][surface.faces].mean(dim=1)
        shade = 0.5 + 0.2 * (150 * middle).sin()
        self.colors = shade * torch.tensor([1.0, 0.8, 0.7])

    def get_outputs_for_camera(self, camera) -> dict[str, torch.Tensor]:
        to_world = torch.eye(4)
        to_world[:3] = camera.camera_to_worlds[0]
        to_world[:, 1:3] *= -1
        size = int(camera.width), int(camera.height)
        face = rasterize(self.hands, camera.get_intrinsics_matrices()[0], torch.linalg.inv(to_world), *size).face
        drawn = (face >= 0).float()[..., None]
        colors = self.colors[face.clamp(min=0)] * drawn
        return {"radiance": colors, "accumulation": drawn, "rgb": colors, "depth": drawn, "normals": colors}


class Photographs(FixedIndicesEvalDataloader):
    """What the model shows in the capture's cameras, with noise, from cameras that are said to be turned."""

    def __init__(self, model: Painted, outputs, turns: dict[str, torch.Tensor], protocols=None):
        self.true = outputs.cameras
        self.cameras = copy.deepcopy(outputs.cameras)
        for row, turn in enumerate(turns.values()):
            self.cameras.camera_to_worlds[row] = turned_camera(self.true[row : row + 1], turn).camera_to_worlds[0]
        self.image_indices, self.model = list(range(len(self.true))), model
        metadata = {"hands": outputs.metadata["hands"], "protocols": protocols}
        self.dataset = self.input_dataset = SimpleNamespace(metadata=metadata, image_filenames=outputs.image_filenames)

    def __len__(self) -> int:
        return len(self.image_indices)

    def get_camera(self, image_idx: int = 0):
        seen = self.model.get_outputs_for_camera(self.true[image_idx : image_idx + 1])
        shown = seen["accumulation"] > 0.5
        noise = NOISE * torch.randn(seen["rgb"].shape, generator=torch.Generator().manual_seed(image_idx))
        # A rim of a pixel on both sides of the boundary counts for nothing, as in an evaluation of a capture.
        grown, eroded = (_grown(pixels) for pixels in (shown, ~shown))
        labels = {"hand_mask": shown, "hand_region": ~eroded, "hand_ignored": grown & eroded, "hand_inner": ~eroded}
        image = torch.where(shown, seen["rgb"] + noise, torch.full_like(noise, 0.9)).clamp(0, 1)
        return self.cameras[image_idx : image_idx + 1], {
            "image": image, "image_idx": image_idx, "mask_is_own": False, "training_scale": 1.0, **labels
        }  # fmt: skip


def _grown(pixels: torch.Tensor) -> torch.Tensor:
    planes = pixels.float().permute(2, 0, 1)[None]
    return torch.nn.functional.max_pool2d(planes, 3, stride=1, padding=1)[0].permute(1, 2, 0) > 0


pytestmark = pytest.mark.usefixtures("no_lpips")


@pytest.fixture(scope="module")
def outputs(demo_capture: Path, true_fit):
    capture = read_capture(demo_capture, layout="auto")
    split = split_capture(capture, eval_cameras=HELD_OUT)
    options = {"hand": "both", "hand_model": "default", "resolution_scale": None, "max_resolution": 640}
    return capture_to_outputs(capture, true_fit, split, train=False, max_eval_images=0, **options)


def evaluate(outputs, degrees: dict[str, tuple], folder: Path | None = None, protocols=None):
    model = Painted(outputs.metadata["hands"])
    turns = {name: torch.tensor(degrees[name], dtype=torch.float64).deg2rad() for name in HELD_OUT}
    loader = Photographs(model, outputs, turns, protocols)
    before = loader.cameras.camera_to_worlds.clone()
    pipeline = SimpleNamespace(
        config=SimpleNamespace(model=PosedHandModelConfig()),
        device="cpu",
        model=model,
        eval=lambda: None,
        train=lambda: None,
    )
    figures = HandPipeline.get_average_image_metrics(pipeline, loader, "eval", output_path=folder)
    assert torch.equal(loader.cameras.camera_to_worlds, before)
    return figures


def test_the_turn_is_found_and_the_figure_is_that_of_the_true_camera(outputs, tmp_path, capsys) -> None:
    off = {"01": (0.3, -0.4, 0.0), "05": (0.0, 0.0, 0.0)}
    figures = evaluate(outputs, off, tmp_path)
    account = {entry["camera"]: entry for entry in json.loads((tmp_path / "figures.json").read_text())}
    # What undoes a turn is the opposite one.
    assert account["01"]["turn_degrees"][:2] == pytest.approx((-0.3, 0.4), abs=0.05)
    assert figures["turn_degrees/01"] == pytest.approx(0.5, abs=0.05) and figures["turn_degrees/05"] < 0.05
    turned, true = account["01"]["figures"], account["05"]["figures"]
    assert turned["hand_psnr_calibrated"] < 25 < 30 < true["hand_psnr_calibrated"]
    assert turned["hand_psnr_registered"] == pytest.approx(true["hand_psnr_calibrated"], abs=1.0)
    assert turned["mask_iou_registered"] > 0.99 > 0.96 > turned["mask_iou"]
    assert true["hand_psnr_registered"] == pytest.approx(true["hand_psnr_calibrated"], abs=0.05)
    assert "01 by 0.5" in capsys.readouterr().out


def test_no_turn_is_larger_than_the_limit(outputs) -> None:
    figures = evaluate(outputs, {"01": (0.0, 2.5, 0.0), "05": (0.0, 0.0, 0.0)})
    assert 1.3 < figures["turn_degrees/01"] <= LIMIT_DEGREES + 1e-6


def test_a_camera_that_trains_is_not_turned(outputs) -> None:
    off = {"01": (0.3, -0.4, 0.0), "05": (0.4, 0.0, 0.0)}
    figures = evaluate(outputs, off, protocols=["pose", "both"])
    assert "turn_degrees/01" not in figures and figures["turn_degrees/05"] == pytest.approx(0.4, abs=0.05)
    assert figures["pose/hand_psnr_registered"] == figures["pose/hand_psnr_calibrated"]
    assert figures["both/hand_psnr_registered"] > figures["both/hand_psnr_calibrated"] + 3
