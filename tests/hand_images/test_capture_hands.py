from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.known_hands import corrected_cameras, known_hands
from nerfstudio_hands.fitting.record import HandFit
from nerfstudio_hands.hand_images.formats.capture_hands import CaptureHands
from nerfstudio_hands.hand_model.load import load_surface
from nerfstudio_hands.hand_model.surface import HandPose

SHAPE = torch.linspace(-1, 1, 10)
POSE = HandPose(
    global_orient=torch.tensor([[[0.1, 0.4, -0.2], [0.3, -0.2, 0.1]]]).repeat(3, 1, 1),
    local_rotations=0.1 * torch.randn(3, 2, 15, 3, generator=torch.Generator().manual_seed(1)),
    translation=torch.tensor([[[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]]]).repeat(3, 1, 1),
    valid=torch.tensor([[True, True], [True, False], [True, True]]),
)
SURFACE = load_surface(("left", "right"), "default")
FIT = HandFit(
    sides=("left", "right"),
    frames=["0", "1", "2"],
    shape=SHAPE,
    displacement=torch.zeros_like(SURFACE.canonical),
    pose=POSE,
    camera_rotation={"b": np.array([0.0, 0.02, 0.0])},
    keypoints_3d=np.full((3, 2, 21, 3), np.nan),
)
SPLIT = Split(["a"], ["b"], np.array([True, True, False]))


def camera(name: str, degrees: float) -> CaptureCamera:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    pose[:3, 3] = [0.0, 0.0, 0.8]
    return CaptureCamera(name, np.array([[90.0, 0, 40], [0, 90, 30], [0, 0, 1]]), pose, 80, 60)


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    images = {}
    for number, frame in enumerate(FIT.frames):
        for shade, name in ((40, "a"), (90, "b")):
            images[frame, name] = tmp_path / f"{name}{frame}.png"
            cv2.imwrite(str(images[frame, name]), np.full((60, 80, 3), shade + number, np.uint8))
    return Capture(tmp_path, [camera("a", 0), camera("b", 60)], FIT.frames, images, {}, None, [])


def test_a_fit_labels_both_hands_of_every_image(capture):
    hands = known_hands(FIT, SURFACE, "default")
    train = CaptureHands(capture, SPLIT, "train", hands)
    assert [train.labels(k).side for k in range(len(train))] == ["left", "right", "left"]
    assert train.read(2).rgb[0, 0].tolist() == [41, 41, 41] and train.hand_model == "default"
    world = SURFACE.pose(POSE, SHAPE)
    for index, (frame, column) in enumerate(((0, 0), (0, 1), (1, 0))):
        labels = train.labels(index)
        in_camera = world.keypoints[frame, column].numpy() + [0, 0, 0.8]
        assert np.allclose(labels.joints, in_camera, atol=1e-5)
        own = SURFACE.split_vertices(world.vertices[frame])[column].numpy() + [0, 0, 0.8]
        assert np.allclose(labels.vertices, own, atol=1e-5)
        assert np.allclose(labels.pixels, in_camera[:, :2] / in_camera[:, 2:] * 90 + [40, 30], atol=1e-3)


def test_held_out_cameras_and_frames_are_no_training_images(capture):
    hands = known_hands(FIT, SURFACE, "default")
    held_out = CaptureHands(capture, SPLIT, "test", hands)
    # Camera b in all frames, and camera a in the last.
    assert [held_out.read(k).rgb[0, 0, 0] for k in range(len(held_out))] == [90, 90, 91, 42, 42, 92, 92]


def test_rotations_are_those_in_the_cameras_frame(capture):
    turned = corrected_cameras(capture, FIT)
    labels = CaptureHands(turned, SPLIT, "test", known_hands(FIT, SURFACE, "default")).labels(0)
    own = SURFACE.hands[0]
    pose = turned.cameras[1].world_to_camera
    assert not np.allclose(pose, capture.cameras[1].world_to_camera)
    vertices = SURFACE.split_vertices(SURFACE.pose(POSE, SHAPE).vertices[0])[0].numpy()
    assert np.allclose(labels.vertices, vertices @ pose[:3, :3].T + pose[:3, 3], atol=1e-5)
    assert own.side == labels.side == "left"


def test_joints_of_the_capture_serve_without_a_fit(capture):
    capture.stored_keypoints = SURFACE.pose(POSE, SHAPE).keypoints.numpy().copy()
    capture.stored_keypoints[0, 1, 4] = np.nan
    source = CaptureHands(capture, SPLIT, "train")
    assert [source.labels(k).side for k in range(2)] == ["left", "left"]
    assert source.labels(0).vertices is None and source.labels(0).rotations is None


def test_landmarks_alone_are_pixels_with_confidence(capture):
    pixels = np.full((3, 2, 2, 21, 2), np.nan)
    pixels[0, 0, 1] = np.linspace([10, 20], [50, 40], 21)
    pixels[0, 0, 1, 7] = np.nan
    capture.detections = pixels
    source = CaptureHands(capture, SPLIT, "train")
    assert len(source) == 1
    labels = source.labels(0)
    assert labels.side == "right" and labels.joints is None
    assert labels.confidence.sum() == 20 and labels.confidence[7] == 0
    assert labels.box.tolist() == [10, 20, 50, 40]


def test_a_mirrored_camera_shows_the_other_hand(capture):
    flipped = camera("a", 0)
    flipped.world_to_camera[0] *= -1
    capture.cameras[0] = flipped
    labels = CaptureHands(capture, SPLIT, "train", known_hands(FIT, SURFACE, "default")).labels(0)
    assert labels.side == "right" and labels.rotations is None


def test_a_capture_of_which_nothing_is_known_is_refused(capture):
    with pytest.raises(HandsError, match="expected pictures with hands for 'train', found none"):
        CaptureHands(capture, SPLIT, "train")
