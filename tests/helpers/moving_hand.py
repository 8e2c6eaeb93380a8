"""A synthetic rig that sees a moving hand, its joints known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.hand_model import pose_hand
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.synthesis.range_of_motion import SEQUENCES, play
from nerfstudio_hands.synthesis.rig import look_at

SIZE = (1280, 1024)


def moving_joints(frames: int, *, seed: int = 0, reach: float = 0.12) -> np.ndarray:
    """Joints [T 2 21 3] of a right hand that moves about the origin, metres; the left one is absent."""
    rng = np.random.default_rng(seed)
    motion = play(SEQUENCES["ROM03_RT_No_Occlusion"], frames, rng)["right"]
    hand = default_hand("right")
    posed = pose_hand(
        hand, motion.global_orient, motion.local_rotations, torch.zeros(frames, 3), torch.zeros(hand.num_shape)
    )
    posed = posed.keypoints.double().numpy()
    time = np.linspace(0, 2 * np.pi, frames)[:, None]
    way = reach * np.concatenate([np.sin(2 * time), np.sin(3 * time + 1), np.cos(time)], axis=1)
    joints = np.full((frames, 2, 21, 3), np.nan)
    joints[:, 1] = posed - posed.mean(axis=1, keepdims=True) + way[:, None]
    return joints


def made_up_rig(count: int, *, seed: int = 0, focal: float = 1100.0) -> list[CalibratedCamera]:
    """Cameras on an arc round the origin, at 0.7 to 1.1 m, each with its own K."""
    rng = np.random.default_rng([seed, 1])
    cameras = []
    for index in range(count):
        angle = 0.9 * index * 2 * np.pi / max(count, 5)
        eye = rng.uniform(0.7, 1.1) * np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.2, 0.8)])
        k = np.array([[focal + 20 * index, 0, 640 + 9 * index], [0, focal + 20 * index, 512 - 7 * index], [0, 0, 1.0]])
        roll = float(rng.uniform(-0.3, 0.3))
        cameras.append(CalibratedCamera(f"{index}", k, None, look_at(eye, np.zeros(3), roll=roll), SIZE))
    return cameras


def seen(
    cameras: list[CalibratedCamera], joints: np.ndarray, *, noise: float = 2.0, outliers: float = 0.0, seed: int = 0
):
    """Landmarks [T C 2 21 2] in pixels, noisy, some of them anywhere."""
    rng = np.random.default_rng([seed, 2])
    pixels = []
    for camera in cameras:
        points = joints @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
        pixels.append(
            (points[..., :2] / points[..., 2:]) * camera.intrinsics[[0, 1], [0, 1]] + camera.intrinsics[:2, 2]
        )
    found = np.stack(pixels, axis=1)
    found += rng.normal(0, noise, found.shape)
    wrong = rng.random(found.shape[:-1]) < outliers
    found[wrong] += rng.normal(0, 150, (int(wrong.sum()), 2))
    return found


def as_calibration(cameras: list[CalibratedCamera], unit: float | None = None) -> Calibration:
    return Calibration(Path("rig.toml"), {camera.name: camera for camera in cameras}, unit=unit)
