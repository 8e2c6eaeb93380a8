"""From a capture and its fit to nerfstudio's cameras: the same pixels, a metric world with the hands at its origin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.dataparsers.avatar_data import capture_to_outputs
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.labels import PixelLabel

CAMERAS = ("00", "01", "02", "05")


@pytest.fixture(scope="module")
def outputs(demo_capture: Path, true_fit: HandFit):
    return make_outputs(demo_capture, true_fit)


def make_outputs(demo_capture: Path, fit: HandFit, hand: str = "both", train: bool = True, **options):
    options = {"resolution_scale": None, "max_resolution": 640, "max_eval_images": 0, **options}
    split = Split(list(CAMERAS), ["03"], np.ones(1, dtype=bool))
    return capture_to_outputs(
        read_capture(demo_capture), fit, split, train=train, hand=hand, hand_model="default", **options
    )


def pixels(outputs, row: int, points: torch.Tensor) -> torch.Tensor:
    """Projection by nerfstudio's convention: camera looks along -z, y up."""
    camera = outputs.cameras[row]
    rotation, center = camera.camera_to_worlds[:, :3], camera.camera_to_worlds[:, 3]
    x, y, z = ((points - center) @ rotation).T
    return torch.stack([camera.fx * x / -z + camera.cx, camera.fy * -y / -z + camera.cy], dim=-1)


def test_vertices_fall_on_the_pixels_of_the_capture(outputs, demo_capture, true_fit):
    capture = read_capture(demo_capture)
    avatar = outputs.metadata["hands"]
    in_capture = avatar.surface.pose(true_fit.pose, true_fit.shape, true_fit.displacement).vertices[0].numpy()
    for row, name in enumerate(CAMERAS):
        camera = true_fit.corrected(capture.camera(name))
        extrinsics = camera.world_to_camera
        projected = (in_capture @ extrinsics[:3, :3].T + extrinsics[:3, 3]) @ camera.intrinsics[:3, :3].T
        found = pixels(outputs, row, avatar.all_vertices([0])[0])
        assert np.allclose(found, projected[:, :2] / projected[:, 2:], atol=0.02)


def test_the_world_is_metric_and_the_hands_stand_at_its_origin(outputs):
    avatar = outputs.metadata["hands"]
    rotation = avatar.world_transform[:, :3]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-5)
    assert avatar.all_vertices([0])[0].mean(dim=0).norm() < 0.05
    low, high = outputs.scene_box.aabb
    assert (avatar.all_vertices([0])[0] > low).all() and (avatar.all_vertices([0])[0] < high).all()


def test_cameras_are_turned_as_the_fit_found_and_their_mean_up_is_z(demo_capture, true_fit):
    capture = read_capture(demo_capture)
    turns = {name: np.array([0.02, -0.03, 0.05]) * (k + 1) for k, name in enumerate(CAMERAS)}
    outputs = make_outputs(demo_capture, replace(true_fit, camera_rotation=turns))
    in_capture = outputs.metadata["hands"].surface.pose(true_fit.pose, true_fit.shape).vertices[0].numpy()
    ups = []
    for row, (name, turn) in enumerate(turns.items()):
        camera = capture.camera(name)
        extrinsics = Rotation.from_rotvec(turn).as_matrix() @ camera.world_to_camera[:3]
        projected = (in_capture @ extrinsics[:, :3].T + extrinsics[:, 3]) @ camera.intrinsics.T
        found = pixels(outputs, row, outputs.metadata["hands"].all_vertices([0])[0])
        assert np.allclose(found, projected[:, :2] / projected[:, 2:], atol=0.02)
        ups.append(-extrinsics[1, :3])
    up = outputs.metadata["hands"].world_transform[:, :3].numpy() @ np.mean(ups, axis=0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0, 0, 1], atol=1e-5)


def test_held_out_cameras_and_frames_do_not_place_the_world(demo_capture, true_fit):
    shipped, turn = read_capture(demo_capture), np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix()
    images = {(frame, name): path for frame in ("1", "2") for (_, name), path in shipped.images.items()}

    def placed(*, camera: bool = False, frame: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        cameras = [
            replace(c, world_to_camera=turn @ c.world_to_camera) if camera and c.name == "05" else c
            for c in shipped.cameras
        ]
        capture = replace(shipped, cameras=cameras, frames=["1", "2"], images=images, detections=None)
        joints = np.repeat(true_fit.pose.translation.numpy()[:, :, None], 21, axis=2)
        stored = np.full((2, 2, 21, 3), np.nan)
        stored[:, : joints.shape[1]] = joints + 0.05
        stored[1] += 0.3 * frame
        pose = HandPose(**{name: torch.cat([value, value]) for name, value in vars(true_fit.pose).items()})
        pose.translation[1] += 0.2 * frame
        fit = replace(true_fit, frames=["1", "2"], pose=pose)
        split = Split(["00", "01", "02"], ["05"], np.array([True, False]))
        outputs = capture_to_outputs(
            replace(capture, stored_keypoints=stored), fit, split, train=True, max_eval_images=0, hand="both",
            hand_model="default", resolution_scale=None, max_resolution=640,
        )  # fmt: skip
        return outputs.dataparser_transform, outputs.scene_box.aabb

    world, box = placed()
    for moved in (placed(camera=True), placed(frame=True)):
        assert torch.equal(moved[0], world) and torch.equal(moved[1], box)


def test_a_scale_shrinks_images_and_intrinsics_alike(outputs, demo_capture, true_fit):
    half = make_outputs(demo_capture, true_fit, resolution_scale=0.5)
    assert (half.cameras.width * 2 == outputs.cameras.width).all()
    points = outputs.metadata["hands"].all_vertices([0])[0]
    assert torch.allclose(pixels(half, 0, points) * 2, pixels(outputs, 0, points), atol=1e-2)
    with pytest.raises(HandsError, match="--resolution-scale"):
        make_outputs(demo_capture, true_fit, resolution_scale=1.5)


@pytest.mark.parametrize(
    "options, width, scale",
    [({}, 256, 1.0), ({"eval_resolution": 200}, 200, 1.0), ({"resolution_scale": 0.5}, 256, 0.5)],
)
def test_held_out_images_have_a_size_of_their_own(demo_capture, true_fit, options, width, scale):
    held_out = make_outputs(demo_capture, true_fit, train=False, **options)
    assert held_out.cameras.width.tolist() == held_out.cameras.height.tolist() == [[width]]
    assert EvaluationImages(held_out)[0]["training_scale"] == scale


def test_a_hand_that_was_not_fitted_is_refused(demo_capture, true_fit):
    with pytest.raises(HandsError, match="left hand"):
        make_outputs(demo_capture, true_fit, hand="left")


def test_labels_agree_with_the_mask_and_the_projected_hand(outputs):
    row = EvaluationImages(outputs)[1]
    label, mask, region = (row[key][..., 0] for key in ("hand_label", "hand_mask", "hand_region"))
    assert row["image"].shape[:2] == label.shape and region.any()
    assert mask[label == PixelLabel.HAND].all() and not mask[label == PixelLabel.BACKGROUND].any()
    assert mask[region].all() and not row["mask_is_own"]
    # Forearm: in the mask, far from the hand, and in no loss.
    assert (mask & (label == 2)).any()
    # Most of the region trains: what is left is its boundary.
    assert (label[region] == PixelLabel.HAND).float().mean() > 0.8


def test_masks_of_the_fit_stand_in_for_those_of_the_capture(demo_capture, true_fit):
    given = EvaluationImages(make_outputs(demo_capture, true_fit))
    height, width = given[1]["hand_mask"].shape[:2]
    own = np.zeros((height, width), dtype=bool)
    own[: height // 2] = given[1]["hand_mask"][: height // 2, :, 0]
    replaced = make_outputs(demo_capture, true_fit)
    replaced.metadata["masks"][1].segmented = own
    row = EvaluationImages(replaced)[1]
    assert not (row["hand_label"][height // 2 + 1 :] == PixelLabel.HAND).any()
    assert torch.equal(row["hand_mask"], given[1]["hand_mask"])  # Evaluation keeps to the capture's.
