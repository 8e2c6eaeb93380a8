"""What an avatar that holds something draws of itself, as a capture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs, world_transform
from nerfstudio_hands.dataparsers.registrations import hands_data
from nerfstudio_hands.dataparsers.run_record import RunRecord
from nerfstudio_hands.files.image_reading import read_mask, read_object_mask
from nerfstudio_hands.fitting import HandFit
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.models.hand_sdf import HandSDFModel, HandSDFModelConfig
from nerfstudio_hands.training.baking import DrawingOptions, draw_capture

SIZE, RADIUS = 48, 0.02
"""Pixels; meters of the ball that is held."""


@pytest.fixture(scope="module")
def drawn(demo_capture: Path, true_fit: HandFit, tmp_path_factory: pytest.TempPathFactory) -> tuple[HandSDFModel, Path]:
    """A hand that holds a ball beside its fingers, and the folder that it has drawn."""
    capture = read_capture(demo_capture)
    split = Split(list(capture.camera_names), [], np.ones(1, dtype=bool))
    pose = np.eye(4)
    pose[:3, 3] = np.load(demo_capture.parent / "truth" / "truth.npz")["keypoints"][0, 0, [8, 12]].mean(axis=0)
    pose[:3, 3] += [0.0, 0.0, 0.03]
    hull = np.zeros((1, 3), np.float32)
    capture = replace(capture, object_poses=pose[None], object_radius=2 * RADIUS, object_hull=hull)
    world = world_transform(capture, true_fit, split, "default")
    outputs = capture_to_outputs(
        capture, true_fit, split, world, train=True, max_eval_images=0, hand="both", hand_model="default",
        resolution_scale=None, max_resolution=640,
    )  # fmt: skip
    config = HandSDFModelConfig(subdivisions=0, resolutions=(16,), inverse_s=1e-4)
    model = config.setup(scene_box=outputs.scene_box, num_train_data=1, metadata=outputs.metadata).eval()

    def sdf(samples):
        return samples.position.norm(dim=-1) - RADIUS, samples.position.new_zeros(len(samples.position), 15)

    model.held.field.sdf = sdf
    folder = tmp_path_factory.mktemp("baking") / "drawings"
    draw_capture(model, RunRecord(capture, true_fit, split, "key", world), folder, DrawingOptions(7, 1, SIZE))
    return model, folder


def test_the_object_is_drawn_where_it_is(drawn: tuple[HandSDFModel, Path]):
    model, folder = drawn
    parser = replace(hands_data.config, data=folder).setup()
    outputs = parser.get_dataparser_outputs("train")
    capture = parser.record.capture
    first = torch.linalg.inv(model.hands.to_world) @ model.held.first_poses
    assert np.allclose(capture.object_poses, first.numpy(), atol=1e-5)
    assert capture.object_radius == 2 * RADIUS and capture.object_hull.shape == (1, 3)
    seen = 0
    for camera in capture.cameras:
        held = read_object_mask(capture.object_masks["0000", camera.name], camera.size)
        hand = read_mask(capture.masks["0000", camera.name], camera.size)
        assert not (held & hand).any() and hand.any()
        x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        middle = camera.world_to_camera[:3] @ [*first[0, :3, 3].tolist(), 1.0]
        ball = rays @ middle > np.sqrt(middle @ middle - RADIUS**2)
        # Half a pixel is left to its rim; what is missing, the hand hides.
        assert (held & ~ball).sum() <= 0.1 * ball.sum()
        seen += (held & ball).sum() > 0.8 * ball.sum()
    assert seen >= 2
    images = TrainingImages(outputs)
    labels = [images.labels(row, images.get_numpy_image(row)).label for row in range(len(images))]
    assert sum((label == PixelLabel.OBJECT).any() for label in labels) >= 2
    assert torch.allclose(outputs.metadata["hands"].object_pose, torch.from_numpy(capture.object_poses).float())
