"""Made-up rigs and hands with known truth, for the tests of fitting."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

SIZE = (1280, 1024)
FOCAL = 1500.0


def ring_of_cameras(count: int, *, radius: float = 0.9) -> tuple[Float[Tensor, "C 3 3"], Float[Tensor, "C 4 4"]]:
    """Cameras on three quarters of a circle at varying height, all looking at the origin (OpenCV axes)."""
    intrinsics = torch.tensor([[FOCAL, 0.0, SIZE[0] / 2], [0.0, FOCAL, SIZE[1] / 2], [0.0, 0.0, 1.0]], dtype=torch.float64)
    extrinsics = []
    for k in range(count):
        angle = 1.5 * math.pi * k / count
        centre = torch.tensor([radius * math.cos(angle), 0.3 * math.sin(2.0 * k), radius * math.sin(angle)], dtype=torch.float64)
        forward = -centre / centre.norm()
        right = torch.linalg.cross(torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64), forward)
        right = right / right.norm()
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ centre
        extrinsics.append(matrix)
    return intrinsics.expand(count, 3, 3).clone(), torch.stack(extrinsics)


def pixels_of(
    points: Float[Tensor, "*N 3"], intrinsics: Float[Tensor, "C 3 3"], extrinsics: Float[Tensor, "C 4 4"]
) -> Float[Tensor, "C *N 2"]:
    """Plain pinhole projection, written apart from the package's."""
    result = []
    for k, matrix in zip(intrinsics, extrinsics, strict=True):
        camera = points.double() @ matrix[:3, :3].T + matrix[:3, 3]
        result.append(torch.stack([k[0, 0] * camera[..., 0] / camera[..., 2] + k[0, 2], k[1, 1] * camera[..., 1] / camera[..., 2] + k[1, 2]], -1))
    return torch.stack(result)
