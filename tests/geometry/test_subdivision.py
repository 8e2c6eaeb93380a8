"""Loop subdivision against trimesh's, and against shapes whose limit is known."""

import numpy as np
import torch
import trimesh

from nerfstudio_hands.geometry.subdivision import interpolating_controls, loop_subdivision


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
