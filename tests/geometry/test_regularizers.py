"""Each regulariser against a naive loop, and at the shapes where it must vanish."""

import math
import statistics

import pytest
import torch
from torch import Tensor

from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.mesh import cotangent_laplacian
from nerfstudio_hands.geometry.regularizers import (
    MeshEdges,
    displacement_size,
    edge_lengths,
    edge_stretch,
    laplacian_energy,
    normal_consistency,
)


@pytest.fixture(scope="module")
def open_mesh(bumpy: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The ball with some faces missing, float64."""
    return bumpy[0].double(), bumpy[1][100:]


def _edge_faces(faces: Tensor) -> dict[tuple[int, int], list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    for index, face in enumerate(faces.tolist()):
        for k in range(3):
            found.setdefault(tuple(sorted((face[k], face[k - 1]))), []).append(index)
    return found


def test_edges_and_faces_across_them(open_mesh: tuple[Tensor, Tensor]) -> None:
    _, faces = open_mesh
    expected = _edge_faces(faces)
    mesh_edges = MeshEdges.of(faces)
    assert {tuple(pair) for pair in mesh_edges.ends.tolist()} == expected.keys()
    across = torch.zeros(len(faces), len(faces))
    for sides in expected.values():
        if len(sides) == 2:
            across[sides[0], sides[1]] = across[sides[1], sides[0]] = -1
    assert (across.sum(1) > -3).any()
    assert torch.equal(mesh_edges.between_faces.matrix.to_dense(), across - torch.diag(across.sum(1)))


def test_normal_consistency_against_a_loop(open_mesh: tuple[Tensor, Tensor]) -> None:
    vertices, faces = open_mesh
    normals = []
    for a, b, c in vertices[faces]:
        normal = torch.linalg.cross(b - a, c - a)
        normals.append(normal / normal.norm())
    terms = [1 - float(normals[s[0]] @ normals[s[1]]) for s in _edge_faces(faces).values() if len(s) == 2]
    found = normal_consistency(vertices, faces, MeshEdges.of(faces))
    assert float(found) == pytest.approx(statistics.mean(terms), rel=1e-9)


def test_normal_consistency_of_two_faces_is_their_angle() -> None:
    angle = 0.3
    vertices = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0], [-math.cos(angle), 0, math.sin(angle)]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3]])
    found = normal_consistency(vertices, faces, MeshEdges.of(faces))
    assert float(found) == pytest.approx(1 - math.cos(angle), rel=1e-5)


def test_edge_terms_against_a_loop(open_mesh: tuple[Tensor, Tensor]) -> None:
    vertices, faces = open_mesh
    mesh_edges = MeshEdges.of(faces)
    lengths = {pair: math.dist(*vertices[list(pair)].tolist()) for pair in _edge_faces(faces)}
    rest = edge_lengths(vertices, mesh_edges)
    assert rest.tolist() == pytest.approx([lengths[tuple(pair)] for pair in mesh_edges.ends.tolist()])
    # Stretched by a tenth in every direction, each edge is a tenth longer.
    assert float(edge_stretch(1.1 * vertices, mesh_edges, rest)) == pytest.approx(0.01, rel=1e-9)
    assert float(edge_stretch(vertices, mesh_edges, rest)) == 0


def test_laplacian_energy_against_a_loop(open_mesh: tuple[Tensor, Tensor]) -> None:
    vertices, faces = open_mesh
    neighbors: list[set[int]] = [set() for _ in vertices]
    for a, b in _edge_faces(faces):
        neighbors[a].add(b)
        neighbors[b].add(a)
    total = sum(
        float((vertices[i] - vertices[list(ring)].mean(0)).square().sum()) for i, ring in enumerate(neighbors) if ring
    )
    found = laplacian_energy(vertices.float(), Laplacian.uniform(faces, len(vertices)))
    assert float(found) == pytest.approx(total / len(vertices), rel=1e-4)


def test_cotangent_energy_of_an_uneven_plane_is_that_of_its_border() -> None:
    generator = torch.Generator().manual_seed(0)
    size = 7
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).reshape(-1, 2)
    vertices = torch.cat([grid.double(), torch.zeros(size * size, 1, dtype=torch.float64)], dim=1)
    inside = ((grid > 0) & (grid < size - 1)).all(1)
    vertices[inside, :2] += 0.3 * (torch.rand(int(inside.sum()), 2, generator=generator, dtype=torch.float64) - 0.5)
    corner = (grid[(grid < size - 1).all(1)] * torch.tensor([size, 1])).sum(1)
    faces = torch.cat(
        [
            torch.stack([corner, corner + size, corner + size + 1], 1),
            torch.stack([corner, corner + size + 1, corner + 1], 1),
        ]
    )
    moved = vertices.clone().requires_grad_()
    cotangent = Laplacian(-cotangent_laplacian(vertices, faces))
    assert (cotangent.times(vertices) / cotangent.diagonal[:, None])[inside].abs().max() < 1e-12
    laplacian_energy(moved, cotangent).backward()
    assert torch.isfinite(moved.grad).all()
    assert laplacian_energy(vertices[:, :1] * 0 + 2, cotangent) < 1e-20


def test_displacement_size() -> None:
    assert float(displacement_size(torch.tensor([[3.0, 0, 4], [0, 0, 0]]))) == 12.5


def test_gradients(open_mesh: tuple[Tensor, Tensor]) -> None:
    vertices, faces = open_mesh
    used = faces[:6]
    corners, local = torch.unique(used, return_inverse=True)
    positions = (20 * vertices[corners]).requires_grad_()
    mesh_edges = MeshEdges.of(local)
    rest = edge_lengths(positions.detach(), mesh_edges) * 1.2
    laplacian = Laplacian(-cotangent_laplacian(positions.detach(), local))
    for loss in (
        lambda v: normal_consistency(v, local, mesh_edges),
        lambda v: edge_stretch(v, mesh_edges, rest),
        lambda v: laplacian_energy(v, laplacian),
        displacement_size,
    ):
        assert torch.autograd.gradcheck(loss, (positions,))


def test_collapsed_mesh_has_finite_gradients() -> None:
    faces = torch.tensor([[0, 1, 2], [1, 0, 3]])
    vertices = torch.zeros(4, 3, requires_grad=True)
    mesh_edges = MeshEdges.of(faces)
    loss = normal_consistency(vertices, faces, mesh_edges) + edge_stretch(vertices, mesh_edges, torch.ones(5))
    loss.backward()
    assert torch.isfinite(vertices.grad).all()
