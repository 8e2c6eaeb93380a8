"""Self-intersections against a brute force that solves for the crossing points, and on shapes where they are known."""

import numpy as np
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry.self_intersection import intersecting_faces


def _brute_force(vertices: np.ndarray, faces: np.ndarray) -> set[tuple[int, int]]:
    """Pairs in which an edge of one face meets the other, by solving p + t (q - p) = a + u (b - a) + v (c - a)."""
    triangles = vertices[faces]
    found = set()
    for start, end in ((0, 1), (1, 2), (2, 0)):
        p, q = triangles[:, None, start], triangles[:, None, end]
        a, b, c = (triangles[None, :, k] for k in range(3))
        shape = np.broadcast_shapes(p.shape, a.shape)
        matrix = np.stack([np.broadcast_to(x, shape) for x in (q - p, a - b, a - c)], axis=-1)
        flat = np.abs(np.linalg.det(matrix)) < 1e-18
        matrix[flat] = np.eye(3)
        t, u, v = np.moveaxis(np.linalg.solve(matrix, (a - p)[..., None])[..., 0], -1, 0)
        hit = (t > 0) & (t < 1) & (u > 0) & (v > 0) & (u + v < 1) & ~flat
        for i, j in np.argwhere(hit):
            if not set(faces[i]) & set(faces[j]):
                found.add((min(i, j), max(i, j)))
    return found


def test_equals_brute_force_on_a_crumpled_ball() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.002)
    noise = np.random.default_rng(0).normal(scale=4e-4, size=ball.vertices.shape)
    vertices = (ball.vertices + noise).astype(np.float32)
    expected = _brute_force(vertices.astype(np.float64), ball.faces)
    found = intersecting_faces(torch.from_numpy(vertices), torch.tensor(ball.faces.copy()))
    assert len(expected) > 100
    assert [tuple(pair) for pair in found.tolist()] == sorted(expected)


def _two_spheres(distance: float) -> tuple[Tensor, Tensor]:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.01)
    vertices = np.concatenate([ball.vertices, ball.vertices + [distance, 1e-5, 2e-5]])
    return torch.tensor(vertices).float(), torch.tensor(np.concatenate([ball.faces, ball.faces + len(ball.vertices)]))


def test_two_spheres_meet_in_a_circle_or_not_at_all() -> None:
    assert len(intersecting_faces(*_two_spheres(0.021))) == 0
    vertices, faces = _two_spheres(0.016)
    pairs = intersecting_faces(vertices, faces)
    assert len(pairs) > 20
    half = len(faces) // 2
    assert (pairs[:, 0] < half).all() and (pairs[:, 1] >= half).all()
    # The circle has radius 6 mm and lies in the plane x = 8 mm; faces there are 1.6 mm wide.
    middles = vertices[faces[pairs.reshape(-1)]].mean(1)
    assert (middles[:, 0] - 0.008).abs().max() < 0.0015
    assert (middles[:, 1:].norm(dim=1) - 0.006).abs().max() < 0.0015


def test_neighbours_touch_but_do_not_intersect() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.01)
    vertices, faces = torch.tensor(ball.vertices.copy()).float(), torch.tensor(ball.faces.copy())
    assert intersecting_faces(vertices, faces).shape == (0, 2)
    assert intersecting_faces(vertices, faces[:0]).shape == (0, 2)
    # A vertex pulled through the ball runs through the far side.
    vertices[0] *= -1.3
    assert len(intersecting_faces(vertices, faces)) > 0
