"""Errors between surfaces whose distance and tilt are known."""

import math

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.mesh_metrics import Mesh, sample_surface, surface_errors


def _sphere(radius: float) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(torch.tensor(ball.vertices.copy()).float(), torch.tensor(ball.faces.copy()))


def _square(height: float = 0.0, tilt: float = 0.0, half_side: float = 0.05) -> Mesh:
    corners = half_side * torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    turned = torch.stack([corners[:, 0] * math.cos(tilt), corners[:, 1], corners[:, 0] * math.sin(tilt) + height], -1)
    return Mesh(turned, torch.tensor([[0, 1, 2], [0, 2, 3]]))


def test_concentric_spheres_differ_by_their_radii_and_not_in_their_normals() -> None:
    errors = surface_errors(_sphere(0.050), _sphere(0.052), num_samples=4000)
    for distance in (errors.to_truth, errors.from_truth):
        assert distance.mean == pytest.approx(2, abs=0.05)
        assert distance.median == pytest.approx(2, abs=0.05)
        assert distance.percentile_95 == pytest.approx(2, abs=0.05)
    # Flat normals of these faces, 3 mm wide, would be 1 to 2 degrees off.
    assert errors.normal_to_truth < 0.3
    assert errors.normal_from_truth < 0.3


def test_f_scores_are_shares_of_both_surfaces_within_reach() -> None:
    # A step of 3 mm in half of a square, and nothing of the other half of the truth.
    whole, half = _square(), _square(height=0.003, half_side=0.025)
    errors = surface_errors(half, whole, thresholds=(1, 4), num_samples=20_000)
    # All of the mesh is within 4 mm; of the truth, what lies below it and a rim as wide as a circle of 4 mm reaches.
    reach = math.sqrt(4**2 - 3**2)
    below = (50**2 + 4 * 50 * reach + math.pi * reach**2) / 100**2
    assert errors.f_scores == {1.0: 0.0, 4.0: pytest.approx(2 * below / (1 + below), abs=0.01)}
    assert errors.chamfer == pytest.approx((errors.to_truth.mean + errors.from_truth.mean) / 2)


def test_tilted_squares_differ_by_their_angle() -> None:
    tilt = 0.2
    errors = surface_errors(_square(tilt=tilt), _square(half_side=1.0), num_samples=20_000)
    assert errors.normal_to_truth == pytest.approx(math.degrees(tilt), abs=1e-3)
    # Heights are |x| sin(tilt) with x even in [-50, 50] mm.
    assert errors.to_truth.mean == pytest.approx(25 * math.sin(tilt), rel=0.02)
    assert errors.to_truth.median == pytest.approx(25 * math.sin(tilt), rel=0.03)
    assert errors.to_truth.percentile_95 == pytest.approx(47.5 * math.sin(tilt), rel=0.01)
    # Most of the truth, 2 m wide, is missing from the mesh.
    assert errors.from_truth.mean > 500


def test_a_surface_inside_out_has_opposite_normals() -> None:
    square = _square()
    errors = surface_errors(Mesh(square.vertices, square.faces.flip(1)), square, num_samples=100)
    assert errors.normal_to_truth == pytest.approx(180, abs=1e-3)
    assert errors.to_truth.mean == pytest.approx(0, abs=1e-4)


def test_only_the_region_counts_but_nearest_points_lie_anywhere() -> None:
    good, bad = _square(height=0.001), _square(height=0.02)
    vertices = torch.cat([good.vertices, bad.vertices])
    faces = torch.cat([good.faces, bad.faces + 4])
    region = torch.tensor([True, True, False, False])
    truth = _square()
    errors = surface_errors(Mesh(vertices, faces, region), truth, num_samples=1000)
    assert errors.to_truth.mean == pytest.approx(1, abs=1e-3)
    assert surface_errors(Mesh(vertices, faces), truth, num_samples=1000).to_truth.mean == pytest.approx(10.5, rel=0.1)
    only_bad = surface_errors(Mesh(vertices, faces, ~region), truth, num_samples=1000)
    assert only_bad.to_truth.mean == pytest.approx(20, abs=1e-2)
    assert only_bad.from_truth.mean == pytest.approx(1, abs=1e-3)


def test_samples_are_even_in_area_and_repeatable() -> None:
    box = trimesh.creation.box(extents=(0.1, 0.1, 0.1)).subdivide()
    # A third of the faces are a quarter the size of the rest.
    box = box.subdivide(face_index=np.arange(0, len(box.faces), 7))
    mesh = Mesh(torch.tensor(box.vertices.copy()), torch.tensor(box.faces.copy()))
    samples = sample_surface(mesh, 60_000, seed=3)
    assert (samples.points.abs().amax(1) - 0.05).abs().max() < 1e-12
    octants = torch.bincount(((samples.points > 0).long() * torch.tensor([1, 2, 4])).sum(1), minlength=8)
    assert (octants / 7500 - 1).abs().max() < 0.05
    assert torch.equal(samples.points, sample_surface(mesh, 60_000, seed=3).points)
    assert not torch.equal(samples.points, sample_surface(mesh, 60_000, seed=4).points)


def test_samples_are_even_within_a_face():
    corners = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.6]])
    points = sample_surface(Mesh(corners, torch.tensor([[0, 1, 2]])), 20_000, seed=2).points
    assert torch.allclose(points.mean(0), corners.mean(0), atol=5e-3)
    # Half as far from the first corner in every direction lies a quarter of the area.
    inner = (points[:, 0] / 0.3 + points[:, 2] / 0.6) < 0.5
    assert inner.float().mean().item() == pytest.approx(0.25, abs=0.015)


def test_region_without_area_is_refused() -> None:
    square = _square()
    with pytest.raises(HandsError, match="finite area, found 0"):
        surface_errors(Mesh(square.vertices, square.faces, torch.zeros(2, dtype=torch.bool)), square)
