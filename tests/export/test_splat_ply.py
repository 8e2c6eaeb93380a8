"""A file of Gaussians, read by another library and drawn by the formulas of those who made the format."""

from __future__ import annotations

import io

import numpy as np
import torch
from plyfile import PlyData

from nerfstudio_hands.export.splat_ply import splat_ply_bytes
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.model_components.export_source import SplatCloud
from nerfstudio_hands.transforms.projection import pixel_rays
from nerfstudio_hands.transforms.rotations import rotation_matrix
from nerfstudio_hands.transforms.spherical_harmonics import spherical_harmonics


def made_up_cloud(count: int) -> SplatCloud:
    """Splats whose half axes are not at right angles."""
    generator = torch.Generator().manual_seed(2)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    means, axes = 0.1 * uniform(count, 3) - 0.05, 0.012 * uniform(count, 3, 3) - 0.006
    return SplatCloud(means, axes, 0.2 + 0.7 * uniform(count), uniform(count, 3), 0.3 * uniform(count, 3, 3))


def read(content: bytes) -> dict[str, torch.Tensor]:
    vertices = PlyData.read(io.BytesIO(content))["vertex"]
    return {name: torch.from_numpy(np.array(vertices[name])) for name in vertices.data.dtype.names}


def numbered(columns: dict[str, torch.Tensor], name: str, count: int) -> torch.Tensor:
    return torch.stack([columns[f"{name}_{k}"] for k in range(count)], dim=1)


def test_a_file_shows_what_the_splats_show():
    """From the same place relative to the splats, which the file has elsewhere and turned."""
    cloud = made_up_cloud(40)
    move = torch.cat([rotation_matrix(torch.tensor([0.5, -0.8, 0.3])), torch.tensor([[0.1], [0.2], [-0.3]])], dim=1)
    found = read(splat_ply_bytes(cloud, move))
    eye = torch.tensor([0.01, 0.02, -0.5])
    world_to_camera = torch.eye(4)
    world_to_camera[:3, 3] = -eye
    intrinsics = torch.tensor([[180.0, 0, 24], [0, 180.0, 24], [0, 0, 1]])
    toward = torch.nn.functional.normalize(cloud.means - eye, dim=-1)
    colors = cloud.constant + (spherical_harmonics(2, toward)[:, 1:, None] * cloud.linear).sum(dim=1)
    ours = draw_splats(
        Splats(cloud.means, cloud.axes, cloud.opacities), colors, *pixel_rays(intrinsics, world_to_camera, 48, 48)
    )
    # Kerbl et al. 2023, utils/sh_utils.py and scene/gaussian_model.py.
    means = torch.stack([found[axis] for axis in "xyz"], dim=1)
    w, x, y, z = numbered(found, "rot", 4).unbind(1)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]
    rows += [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]
    rows += [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    rotations = torch.stack(rows, dim=1).view(-1, 3, 3)
    axes = (rotations * numbered(found, "scale", 3).exp()[:, None]).transpose(1, 2)
    moved_eye = move[:, :3] @ eye + move[:, 3]
    dx, dy, dz = torch.nn.functional.normalize(means - moved_eye, dim=-1)[:, None].unbind(-1)
    rest = numbered(found, "f_rest", 9).view(-1, 3, 3)
    one = 0.4886025119029199
    seen = 0.28209479177387814 * numbered(found, "f_dc", 3) + 0.5
    seen = seen - one * dy * rest[..., 0] + one * dz * rest[..., 1] - one * dx * rest[..., 2]
    back = torch.linalg.inv(torch.cat([move, torch.tensor([[0.0, 0, 0, 1]])]))
    theirs = draw_splats(
        Splats(means, axes, found["opacity"].sigmoid()), seen, *pixel_rays(intrinsics, world_to_camera @ back, 48, 48)
    )
    assert ours[1].mean() > 0.1
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=2e-3)
