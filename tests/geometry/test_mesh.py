from __future__ import annotations

import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry import mesh


def open_tube() -> Tensor:
    """Faces of a tube of two rings with 5 vertices each, open at both ends."""
    low = torch.arange(5)
    nxt = (low + 1) % 5
    return torch.cat([torch.stack([low, nxt, nxt + 5], 1), torch.stack([low, nxt + 5, low + 5], 1)])


def test_boundary_loops_of_a_tube() -> None:
    loops = mesh.boundary_loops(open_tube())
    assert sorted(sorted(loop.tolist()) for loop in loops) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    directed = {tuple(pair) for face in open_tube().tolist() for pair in zip(face, face[1:] + face[:1], strict=True)}
    for loop in loops:
        assert all(pair in directed for pair in zip(loop.tolist(), loop.roll(-1).tolist(), strict=True))


def test_holes_that_touch_in_a_vertex_are_two_loops() -> None:
    # Two triangles with one vertex in common have two boundaries of three edges.
    loops = mesh.boundary_loops(torch.tensor([[0, 1, 2], [0, 3, 4]]))
    assert sorted(sorted(loop.tolist()) for loop in loops) == [[0, 1, 2], [0, 3, 4]]


def test_closing_faces_make_a_watertight_outward_mesh() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    faces = torch.tensor(ball.faces.copy())
    height = torch.tensor(ball.vertices[:, 2])
    opened = faces[(height[faces] < 0.6).any(1) & (height[faces] > -0.7).any(1)]
    assert len(mesh.boundary_loops(opened)) == 2
    lids = mesh.closing_faces(opened)
    closed = trimesh.Trimesh(ball.vertices, torch.cat([opened, lids]).numpy(), process=False)
    assert closed.is_watertight
    assert closed.is_winding_consistent
    assert closed.volume > 0
    assert len(mesh.closing_faces(faces)) == 0


def test_inconsistent_winding_is_refused() -> None:
    with pytest.raises(HandsError, match="consistent winding"):
        mesh.closing_faces(torch.tensor([[0, 1, 2], [0, 1, 3]]))


def test_normals_agree_with_trimesh(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    reference = trimesh.Trimesh(vertices.double().numpy(), faces.numpy(), process=False)
    batch = torch.stack([vertices, vertices * 2]).double()
    assert torch.allclose(mesh.face_normals(batch, faces)[1], torch.tensor(reference.face_normals), atol=1e-9)
    angle_weighted = trimesh.geometry.weighted_vertex_normals(
        len(vertices), reference.faces, reference.face_normals, reference.face_angles
    )
    assert torch.allclose(mesh.vertex_normals(batch, faces)[0], torch.tensor(angle_weighted), atol=1e-9)


def test_normals_have_gradients() -> None:
    tetrahedron = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    assert torch.autograd.gradcheck(lambda v: mesh.vertex_normals(v, faces), (tetrahedron,))


def test_edges_satisfy_euler(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    pairs, face_edges = mesh.edges(faces)
    assert len(vertices) - len(pairs) + len(faces) == 2
    ends = pairs[face_edges]
    for k in range(3):
        assert torch.equal(ends[:, k], faces[:, [k, (k + 1) % 3]].sort(dim=1).values)


def test_cotangent_laplacian_against_known_functions() -> None:
    # On a flat grid the cotangent Laplacian of a linear function vanishes inside, and of x^2 + y^2 is 4 times the area.
    size = 6
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).reshape(-1, 2)
    vertices = torch.cat([grid.double(), torch.zeros(size * size, 1, dtype=torch.float64)], dim=1)
    corner = (grid[(grid < size - 1).all(1)] * torch.tensor([size, 1])).sum(1)
    faces = torch.cat(
        [
            torch.stack([corner, corner + size, corner + size + 1], 1),
            torch.stack([corner, corner + size + 1, corner + 1], 1),
        ]
    )
    inside = ((grid > 0) & (grid < size - 1)).all(1)
    cotangent = mesh.cotangent_laplacian(vertices, faces)
    assert (cotangent @ vertices)[inside].abs().max() < 1e-12
    squares = (vertices**2).sum(1, keepdim=True)
    assert torch.allclose((cotangent @ squares)[inside], torch.tensor(4.0, dtype=torch.float64))
    assert (cotangent.to_dense() - cotangent.to_dense().T).abs().max() < 1e-12
