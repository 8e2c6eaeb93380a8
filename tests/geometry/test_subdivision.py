"""Loop subdivision against trimesh's, and against shapes whose limit is known."""

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.subdivision import FairSubdivision, interpolating_controls, loop_subdivision


def _open_sphere() -> trimesh.Trimesh:
    """A sphere with a hole: irregular vertices and a border."""
    sphere = trimesh.creation.icosphere(subdivisions=2)
    keep = sphere.triangles_center[:, 2] < 0.7
    mesh = trimesh.Trimesh(sphere.vertices, sphere.faces[keep])
    mesh.remove_unreferenced_vertices()
    return mesh


def test_equals_trimesh():
    mesh = _open_sphere()
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces)
    fine_faces, matrix = loop_subdivision(torch.from_numpy(faces), len(vertices), 2)
    expected, expected_faces = trimesh.remesh.subdivide_loop(vertices, faces, iterations=2)
    found = matrix @ vertices
    assert len(fine_faces) == len(expected_faces) == 16 * len(faces)
    nearest = np.linalg.norm(found[:, None] - expected[None], axis=-1).min(1)
    assert nearest.max() < 1e-9


def test_winding_and_weights_are_kept():
    mesh = _open_sphere()
    faces, matrix = loop_subdivision(torch.from_numpy(np.array(mesh.faces)), len(mesh.vertices), 1)
    np.testing.assert_allclose(np.asarray(matrix.sum(1)).ravel(), 1, atol=1e-12)
    fine = trimesh.Trimesh(matrix @ np.array(mesh.vertices), faces.numpy(), process=False)
    assert ((fine.face_normals * fine.triangles_center).sum(1) > 0).all()


def test_interpolation_undoes_the_shrinking():
    mesh = _open_sphere()
    vertices = np.array(mesh.vertices)
    _, matrix = loop_subdivision(torch.from_numpy(np.array(mesh.faces)), len(vertices), 2)
    shrunk = np.abs((matrix @ vertices)[: len(vertices)] - vertices).max()
    kept = np.abs((matrix @ interpolating_controls(matrix, vertices))[: len(vertices)] - vertices).max()
    assert kept < 0.1 * shrunk


def test_fair_subdivision_of_a_sphere_stays_on_it():
    sphere = trimesh.creation.icosphere(subdivisions=2)
    vertices = torch.tensor(np.array(sphere.vertices))
    subdivide = FairSubdivision(torch.tensor(np.array(sphere.faces)), len(vertices), 2)
    fine = subdivide(vertices)
    sag = 1 - np.linalg.norm(sphere.triangles_center, axis=1).min()
    assert (fine.norm(dim=1) - 1).abs().max() < 0.25 * sag
    outward = trimesh.Trimesh(fine.numpy(), subdivide.faces.numpy(), process=False)
    assert outward.is_watertight and outward.volume > 0


def test_subdivision_is_linear_in_any_number_of_channels():
    mesh = _open_sphere()
    faces, count = torch.tensor(np.array(mesh.faces)), len(mesh.vertices)
    subdivide = FairSubdivision(faces, count, 1)
    values = torch.randn(count, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = subdivide(values)
    assert whole.shape[1:] == (2, 5)
    torch.testing.assert_close(whole[:, 1], 3 * subdivide(values[:, 1] / 3), rtol=0, atol=1e-12)
    torch.testing.assert_close(subdivide(torch.ones(count)), torch.ones(len(whole)))


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_fair_subdivision_is_undone_and_seen_through(levels):
    mesh = _open_sphere()
    faces, count = torch.tensor(np.array(mesh.faces)), len(mesh.vertices)
    subdivide = FairSubdivision(faces, count, levels)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(count, 2, 5, generator=generator, dtype=torch.float64)
    fine = subdivide(values)
    assert levels == 0 or (fine[:count] - values).abs().max() > 0.1
    torch.testing.assert_close(subdivide.undo(fine[:count]), values, rtol=0, atol=1e-12)
    coarse = torch.rand(3, count, generator=generator, dtype=torch.float64)
    found = torch.einsum("kw,wab->kab", subdivide.regressor(coarse), fine)
    torch.testing.assert_close(found, torch.einsum("kv,vab->kab", coarse, values), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("faces", "found"),
    [
        ([[0, 1, 2], [1, 0, 3], [0, 1, 4]], "1 edges with more than two faces"),
        ([[0, 1, 2], [0, 3, 4]], "1 vertices where boundaries touch"),
    ],
)
def test_what_is_no_surface_is_refused(faces, found):
    with pytest.raises(HandsError, match=found):
        loop_subdivision(torch.tensor(faces), 5, 1)
