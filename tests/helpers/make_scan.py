"""Writes a small valid scan in capture-room layout, with known truth, for tests to read and to break."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass
class Truth:
    """What the scan was made from: joints [2, 21, 3] in metres, pixels [C, 2, 21, 2], K [C, 3, 3], poses [C, 4, 4]."""

    joints: np.ndarray
    pixels: np.ndarray
    intrinsics: np.ndarray
    world_to_camera: np.ndarray


def make_scan(
    scan: Path,
    *,
    num_cameras: int = 3,
    width: int = 64,
    height: int = 48,
    focal: float = 90.0,
    joints: np.ndarray | None = None,
    seed: int = 0,
) -> Truth:
    """Writes img/, mask/, pose/, camera/param.npz and .xyz: cameras on an arc look at joints near the origin.

    Args:
        scan: Folder to make.
        num_cameras: Cameras 0.4 radians apart, all one metre from the origin.
        width: Pixels.
        height: Pixels.
        focal: Horizontal focal length in pixels; the vertical one is 2 % less.
        joints: [2, 21, 3], metres; two random clouds if None.
        seed: Of all that is random.
    """
    rng = np.random.default_rng(seed)
    if joints is None:
        joints = rng.normal(scale=0.03, size=(2, 21, 3)) + np.array([[[0.1, 0, 0]], [[-0.1, 0, 0]]])
    for folder in ("img", "mask", "pose", "camera"):
        (scan / folder).mkdir(parents=True)
    intrinsics = np.array([[focal, 0, width / 2 + 1], [0, 0.98 * focal, height / 2 - 2], [0, 0, 1]])
    scale = np.diag([0.5, 0.5, 0.5, 1.0])
    scale[:3, 3] = (0.1, 0.2, 0.3)
    arrays, pixels, poses = {}, [], []
    for index in range(num_cameras):
        angle = 0.4 * index
        # The camera stands at distance 1 on the negative z axis, turned about y; rows of R are its axes in the world.
        rotation = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, (0, 0, 1)
        in_camera = joints @ rotation.T + (0, 0, 1)
        pixel = np.stack(
            [
                focal * in_camera[..., 0] / in_camera[..., 2] + width / 2 + 1,
                0.98 * focal * in_camera[..., 1] / in_camera[..., 2] + height / 2 - 2,
            ],
            axis=-1,
        )
        int_4x4 = np.eye(4)
        int_4x4[:3, :3] = intrinsics
        arrays |= {f"int_{index}": int_4x4, f"ext_{index}": pose, f"scale_mat_{index}": scale}
        arrays[f"world_mat_{index}"] = (int_4x4 @ pose).astype(np.float32)
        landmarks = np.concatenate([pixel / (width, height) * 2 - 1, rng.normal(size=(2, 21, 1))], axis=-1)
        content = {"Left": landmarks[0].ravel().tolist(), "Right": landmarks[1].ravel().tolist()}
        (scan / "pose" / f"{index:02d}.json").write_text(json.dumps(content))
        picture = rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
        Image.fromarray(picture).save(scan / "img" / f"{index:02d}.png")
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[10:30, 20:40] = 255
        Image.fromarray(mask).save(scan / "mask" / f"{index:02d}.png")
        pixels.append(pixel)
        poses.append(pose)
    np.savez(scan / "camera" / "param.npz", **arrays)
    normalised = (joints.reshape(42, 3) - scale[:3, 3]) / 0.5
    np.savetxt(scan / f"keypoints_3d_{scan.name}.xyz", normalised)
    return Truth(joints, np.stack(pixels), np.stack([intrinsics] * num_cameras), np.stack(poses))
