"""The surface of points of a grid that lie in an ellipsoid: this, and little less."""

import numpy as np
import pytest
import torch

from nerfstudio_hands.geometry.hull_surface import hull_surface


@pytest.mark.parametrize("stretch", [(1.0, 1.0, 1.0), (1.0, 0.7, 0.5)])
def test_its_surface_is_closed_smooth_and_just_inside(stretch: tuple[float, float, float]):
    grid = torch.cartesian_prod(*[torch.linspace(-0.03, 0.03, 21)] * 3)
    points = grid[grid.norm(dim=1) < 0.0301] * torch.tensor(stretch)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    mesh = hull_surface(points @ turn.T)
    assert mesh.is_watertight and len(mesh.split()) == 1
    away = mesh.vertices @ turn.numpy() / stretch
    # About a cell, along each axis, inside of the ball; smooth, although cells are not.
    assert 0.03 - 1.5 * 0.003 / np.mean(stretch) < np.linalg.norm(away, axis=1).mean() < 0.03
    outward = (mesh.vertices @ turn.numpy() / np.square(stretch)) @ turn.T.numpy()
    cosine = (outward * mesh.vertex_normals).sum(axis=1) / np.linalg.norm(outward, axis=1)
    assert np.median(cosine) > 0.98


def test_the_surface_of_a_single_point_is_there():
    mesh = hull_surface(torch.ones(1, 3))
    assert mesh.is_watertight and np.abs(mesh.vertices - 1).max() < 2e-3
