"""A left and a right hand that bend their fingers before made-up cameras, as a detector would see them."""

from __future__ import annotations

import numpy as np
import torch

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.estimators.hand_detector import DetectedHand
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes

SIZE = (640, 480)
FOCAL = 600.0


def moving_joints(frames: int, *, apart: float = 0.3) -> np.ndarray:
    """Joints [T, 2, 21, 3] in metres: hands side by side that bend, turn and move a little, the right one more."""
    surface = HandSurface([default_hand("left"), default_hand("right")])
    phase = torch.linspace(0, 3, frames)
    local = []
    for hand, least in zip(surface.hands, (0.2, 0.8), strict=True):
        angles = torch.zeros(frames, 15, 3)
        angles[:, :12, 0] = least + 0.2 * torch.sin(phase)[:, None]
        local.append(angles_to_rotations(joint_axes(hand), angles))
    turn = torch.stack([0.3 * torch.sin(phase), 0.2 * torch.cos(phase), 0.1 * phase], -1)
    pose = HandPose(
        global_orient=turn[:, None].expand(-1, 2, -1),
        local_rotations=torch.stack(local, 1),
        translation=torch.zeros(frames, 2, 3),
        valid=torch.ones(frames, 2, dtype=torch.bool),
    )
    joints = surface.pose(pose, torch.zeros(10)).keypoints.double().numpy()
    joints -= joints.mean((0, 2), keepdims=True)
    way = 0.02 * np.stack([np.sin(phase), np.cos(phase), np.zeros(frames)], -1)
    return joints + way[:, None, None] + np.array([[-apart / 2, 0, 0], [apart / 2, 0.06, 0]])[:, None]


def cameras_around(count: int) -> list[CaptureCamera]:
    """Cameras on a quarter of a circle of 0.8 m, looking at the origin."""
    cameras = []
    for index in range(count):
        angle = np.pi / 2 * (index / max(count - 1, 1) - 0.5)
        center = 0.8 * np.array([np.sin(angle), 0.2 * np.cos(3 * angle), -np.cos(angle)])
        forward = -center / np.linalg.norm(center)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, :3] = right, np.cross(forward, right), forward
        matrix[:3, 3] = -matrix[:3, :3] @ center
        k = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
        cameras.append(CaptureCamera(str(index), k, matrix, *SIZE))
    return cameras


def seen(joints: np.ndarray, camera: CaptureCamera, *, right: float, rng: np.random.Generator) -> DetectedHand:
    """One hand [21, 3] as a detector with a pixel of noise gives it.

    Args:
        joints: In the world's unit.
        camera: By which it is seen.
        right: Probability that it calls the hand a right one.
        rng: Of the noise.
    """
    points = joints @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    pixels = points[:, :2] / points[:, 2:] * FOCAL + np.array(SIZE) / 2 + rng.normal(0, 1, (21, 2))
    return DetectedHand(pixels, points[:, 2] - points[0, 2], 0.9, right, points - points.mean(0))
