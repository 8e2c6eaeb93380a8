"""A made-up rig of cameras, a plain projection and a plain filler, for tests of fitting."""

from __future__ import annotations

import cv2
import numpy as np
import torch

SIZE = (640, 512)
FOCAL = 850.0
SKIN, BACKGROUND = (200, 150, 130), (40, 90, 70)


def ring_of_cameras(
    count: int, *, radius: float = 0.9, size: tuple[int, int] = SIZE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cameras on three quarters of a circle at varying height, all looking at the origin (OpenCV axes)."""
    focal = FOCAL * size[0] / SIZE[0]
    k = torch.tensor([[focal, 0.0, size[0] / 2], [0.0, focal, size[1] / 2], [0.0, 0.0, 1.0]]).double()
    extrinsics = []
    for index in range(count):
        angle = 1.5 * np.pi * index / count
        center = np.array([radius * np.cos(angle), 0.3 * np.sin(2.0 * index), radius * np.sin(angle)])
        forward = -center / np.linalg.norm(center)
        right = np.cross([0.0, -1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ center
        extrinsics.append(torch.from_numpy(matrix))
    return k.expand(count, 3, 3).clone(), torch.stack(extrinsics)


def pixels_of(points: torch.Tensor, intrinsics: torch.Tensor, extrinsics: torch.Tensor) -> torch.Tensor:
    """Plain pinhole projection [C, *N, 2], written apart from the package's."""
    result = []
    for k, matrix in zip(intrinsics, extrinsics, strict=True):
        x, y, z = (points.double() @ matrix[:3, :3].T + matrix[:3, 3]).unbind(-1)
        result.append(torch.stack([k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]], -1))
    return torch.stack(result)


def fill(pixels: np.ndarray, faces: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Mask of projected triangles: every pixel centre that is in one (four times oversampled)."""
    factor = 4
    width, height = size
    canvas = np.zeros((height * factor, width * factor), np.uint8)
    for triangle in np.round(pixels[faces] * factor - 0.5).astype(np.int32):
        cv2.fillConvexPoly(canvas, triangle, 1)
    return canvas.reshape(height, factor, width, factor).mean((1, 3)) >= 0.5


def made_up_joints(seed: int, frames: int = 2) -> torch.Tensor:
    """Two clouds of 21 joints the size of hands, 25 cm apart."""
    generator = torch.Generator().manual_seed(seed)
    joints = 0.05 * torch.randn(frames, 2, 21, 3, generator=generator, dtype=torch.float64)
    joints[:, 0, :, 0] -= 0.12
    joints[:, 1, :, 0] += 0.12
    return joints


def detect(joints: torch.Tensor, intrinsics: torch.Tensor, extrinsics: torch.Tensor, *, noise: float, seed: int = 0):
    """Detections [T,C,2,21,2] with Gaussian noise in pixels."""
    pixels = pixels_of(joints, intrinsics, extrinsics).transpose(0, 1)
    return pixels + noise * torch.randn(
        pixels.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
