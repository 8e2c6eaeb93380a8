from __future__ import annotations

import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.geometry import mesh


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
