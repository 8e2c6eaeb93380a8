"""Zero levels of known fields: closed, where they should be, and those that dense marching cubes finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.isosurface import NUDGE, extract_isosurface

LOW, HIGH = torch.full((3,), -0.1), torch.full((3,), 0.1)


def sphere(points: torch.Tensor) -> torch.Tensor:
    return (points - 0.003).norm(dim=-1) - 0.07


def torus(points: torch.Tensor) -> torch.Tensor:
    ring = points[:, :2].norm(dim=-1) - 0.06
    return (ring.square() + points[:, 2].square()).sqrt() - 0.02


def as_trimesh(found) -> trimesh.Trimesh:
    return trimesh.Trimesh(found.vertices, found.faces, process=False)


@pytest.mark.parametrize(
    ("field", "volume", "euler"),
    [(sphere, 4 / 3 * math.pi * 0.07**3, 2), (torus, 2 * math.pi**2 * 0.06 * 0.02**2, 0)],
)
def test_closed_outward_and_in_place(field, volume, euler):
    found = extract_isosurface(field, LOW, HIGH, voxel=0.001)
    mesh = as_trimesh(found)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == euler
    assert mesh.volume == pytest.approx(volume, rel=2e-3)
    assert field(torch.from_numpy(found.vertices)).abs().max() < 2e-5


def test_solids_stay_and_cavities_in_them_go():
    def two_balls_one_hollow(points):
        ball, hole = sphere(points), (points - 0.01).norm(dim=-1) - 0.02
        other = (points + 0.07).norm(dim=-1) - 0.015
        return torch.minimum(torch.maximum(ball, -hole), other)

    found = as_trimesh(extract_isosurface(two_balls_one_hollow, LOW, HIGH, voxel=0.002))
    assert found.is_watertight and found.body_count == 2
    assert found.volume == pytest.approx(4 / 3 * math.pi * (0.07**3 + 0.015**3), rel=5e-3)


def test_the_same_as_dense_marching_cubes():
    def aside(points):
        return torus(points - 0.00037)

    voxel, count = 0.002, 101
    found = extract_isosurface(aside, LOW, HIGH, voxel=voxel)
    grid = torch.cartesian_prod(*[torch.arange(count, dtype=torch.float64)] * 3) * voxel - 0.1
    values = aside(grid.float()).view(count, count, count).numpy()
    values = np.where(np.abs(values) < NUDGE * voxel, np.copysign(NUDGE * voxel, values), values)
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    assert len(faces) == len(found.faces)

    dense = (vertices * voxel - 0.1).astype(np.float32)
    assert len(dense) == len(found.vertices)
    for one, other in ((dense, found.vertices), (found.vertices, dense)):
        assert cKDTree(one).query(other)[0].max() < 1e-6
    assert found.num_points < count**3 / 4


def test_other_levels_and_values_that_are_exactly_zero():
    grown = as_trimesh(extract_isosurface(sphere, LOW, HIGH, voxel=0.002, level=0.01))
    assert np.linalg.norm(grown.vertices - 0.003, axis=1) == pytest.approx(0.08, abs=1e-4)
    # A cube whose sides lie in the grid; a metre away its vertices stay apart where a file has seven digits.
    mesh = as_trimesh(extract_isosurface(lambda p: p.abs().amax(dim=-1) - 0.05, LOW, HIGH, voxel=0.0025))
    assert mesh.is_watertight and mesh.volume == pytest.approx(0.001, rel=0.01)
    assert len({f"{x:.7g} {y:.7g} {z:.7g}" for x, y, z in mesh.vertices + 1}) == len(mesh.vertices)


def test_a_field_that_is_no_distance_still_gives_a_closed_mesh():
    mesh = as_trimesh(extract_isosurface(lambda p: sphere(p) * (1 + 8 * (p[:, 0] > 0)), LOW, HIGH, voxel=0.002))
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * math.pi * 0.07**3, rel=1e-2)


def test_no_crossing_says_between_which_values_there_is_one():
    with pytest.raises(
        HandsError, match=r"cross the level 0 mm, found values from 1\d.* to .* mm only; give a --level"
    ):
        extract_isosurface(lambda p: sphere(p).abs() + 0.01, LOW, HIGH, voxel=0.002)
    with pytest.raises(HandsError, match="finite distances"):
        extract_isosurface(lambda p: sphere(p) + torch.where(p[:, 0] > 0, math.nan, 0.0), LOW, HIGH, voxel=0.002)
    with pytest.raises(HandsError, match="finite distances"):
        extract_isosurface(lambda p: sphere(p).where(sphere(p).abs() > 0.01, math.nan), LOW, HIGH, voxel=0.002)


def test_what_does_not_fit_says_what_does():
    with pytest.raises(HandsError, match=r"--voxel of 0.1 mm; \d\.\d+ mm fits\.") as refused:
        extract_isosurface(sphere, LOW, HIGH, voxel=0.0001, memory=40_000_000)
    fits = float(str(refused.value).split("; ")[1].split()[0]) / 1000
    assert 0.0001 < fits < 0.01
    assert as_trimesh(extract_isosurface(sphere, LOW, HIGH, voxel=fits, memory=40_000_000)).is_watertight
