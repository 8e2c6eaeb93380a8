"""A made-up capture with known truth: two default hands before eight cameras, drawn flat."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.made_up_rig import BACKGROUND, SIZE, SKIN, fill, pixels_of, ring_of_cameras
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.hand_model import HandPose, HandSurface, SurfacePose, default_hand
from nerfstudio_hands.hand_model.joint_limits import bend_fingers

TURNED, TURN_DEGREES = "05", (0.7, -0.8, 0.0)
ZOOMED, ZOOM = "03", 0.02
EMPTY_MASK = "02"


@dataclasses.dataclass
class Truth:
    """What the made-up capture shows."""

    surface: HandSurface
    pose: HandPose
    shape: torch.Tensor
    posed: SurfacePose
    turn: np.ndarray


@pytest.fixture(scope="session")
def truth() -> Truth:
    surface = HandSurface((default_hand("left"), default_hand("right")))
    bends = [
        bend_fingers(hand, torch.tensor([0.3, 0.5, 0.4, 0.6, 0.3]), torch.tensor([0.1, 0.1, 0.0, -0.05, -0.15]))
        for hand in surface.hands
    ]
    pose = HandPose(
        global_orient=torch.tensor([[[0.4, 0.9, 0.2], [-0.3, -0.6, 0.5]]]),
        local_rotations=torch.stack(bends)[None],
        translation=torch.tensor([[[-0.16, 0.0, 0.02], [0.17, 0.02, 0.0]]]),
        valid=torch.ones(1, 2, dtype=torch.bool),
    )
    shape = torch.zeros(10)
    shape[:3] = torch.tensor([0.8, -0.6, 0.5])
    return Truth(surface, pose, shape, surface.pose(pose, shape), np.deg2rad(TURN_DEGREES))


@pytest.fixture(scope="session")
def made_up_capture(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Noisy detections with outliers, one camera turned against its calibration, one with another focal length, one
    mask empty."""
    root = tmp_path_factory.mktemp("made_up")
    names = [f"{k:02d}" for k in range(8)]
    intrinsics, extrinsics = ring_of_cameras(len(names))
    detections = pixels_of(truth.posed.keypoints[0], intrinsics, extrinsics)[None]
    generator = torch.Generator().manual_seed(3)
    detections = detections + 1.0 * torch.randn(detections.shape, generator=generator, dtype=torch.float64)
    detections[0, 1, 1] = detections[0, 1, 0]
    detections[0, 3, 0, 7] += 60.0
    detections[0, 6, 1] = torch.nan
    images, masks, cameras = {}, {}, []
    for index, name in enumerate(names):
        pixels = pixels_of(truth.posed.vertices[0], intrinsics[[index]], extrinsics[[index]])[0].numpy()
        mask = fill(pixels, truth.surface.faces.numpy())
        picture = np.where(mask[..., None], SKIN, BACKGROUND).astype(np.uint8)
        noise = np.random.default_rng(index).normal(0, 6, picture.shape)
        picture = cv2.GaussianBlur(np.clip(picture + noise, 0, 255).astype(np.uint8), (0, 0), 0.7)
        images["a", name], masks["a", name] = root / f"{name}.png", root / f"mask_{name}.png"
        cv2.imwrite(str(images["a", name]), picture[..., ::-1])
        cv2.imwrite(str(masks["a", name]), mask.astype(np.uint8) * (0 if name == EMPTY_MASK else 255))
        claimed = extrinsics[index].numpy().copy()
        if name == TURNED:
            claimed[:3] = Rotation.from_rotvec(-truth.turn).as_matrix() @ claimed[:3]
        lens = np.diag([np.exp(-ZOOM)] * 2 + [1.0]) if name == ZOOMED else np.eye(3)
        center = intrinsics[index, :2, 2].numpy()
        k = lens @ intrinsics[index].numpy()
        k[:2, 2] = center
        cameras.append(CaptureCamera(name, k, claimed, *SIZE))
    return Capture(Path(root), cameras, ["a"], images, masks, detections.numpy(), [])
