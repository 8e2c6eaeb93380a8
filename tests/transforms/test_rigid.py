from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.transforms.rigid import apply_rigid, undo_rigid
from nerfstudio_hands.transforms.rotations import rotation_matrix


@pytest.mark.parametrize("rows", [3, 4])
def test_points_are_carried_as_homogeneous_ones_and_come_back(rows: int) -> None:
    transform = torch.eye(4, dtype=torch.float64)
    transform[:3, :3] = rotation_matrix(torch.tensor([0.3, 1.0, -0.4], dtype=torch.float64))
    transform[:3, 3] = torch.tensor([1.0, -2.0, 0.5])
    points = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    carried = apply_rigid(transform[:rows], points)
    homogeneous = torch.cat([points, points.new_ones(5, 7, 1)], dim=-1)
    torch.testing.assert_close(carried, (transform @ homogeneous[..., None])[..., :3, 0])
    torch.testing.assert_close(undo_rigid(transform[:rows], carried), points)
