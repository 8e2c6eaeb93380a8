from __future__ import annotations

import pytest
import torch
import trimesh
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry import topology
from nerfstudio_hands.geometry.topology import Topology


def open_tube() -> Tensor:
    """Faces of a tube of two rings with 5 vertices each, open at both ends."""
    low = torch.arange(5)
    nxt = (low + 1) % 5
    return torch.cat([torch.stack([low, nxt, nxt + 5], 1), torch.stack([low, nxt + 5, low + 5], 1)])


def test_boundary_loops_of_a_tube() -> None:
    loops = topology.boundary_loops(open_tube())
    assert sorted(sorted(loop.tolist()) for loop in loops) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    directed = {tuple(pair) for face in open_tube().tolist() for pair in zip(face, face[1:] + face[:1], strict=True)}
    for loop in loops:
        assert all(pair in directed for pair in zip(loop.tolist(), loop.roll(-1).tolist(), strict=True))


def test_holes_that_touch_in_a_vertex_are_two_loops() -> None:
    # Two triangles with one vertex in common have two boundaries of three edges.
    loops = topology.boundary_loops(torch.tensor([[0, 1, 2], [0, 3, 4]]))
    assert sorted(sorted(loop.tolist()) for loop in loops) == [[0, 1, 2], [0, 3, 4]]


def test_closing_faces_make_a_watertight_outward_mesh() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    faces = torch.tensor(ball.faces.copy())
    height = torch.tensor(ball.vertices[:, 2])
    opened = faces[(height[faces] < 0.6).any(1) & (height[faces] > -0.7).any(1)]
    assert len(topology.boundary_loops(opened)) == 2
    lids = topology.closing_faces(opened)
    closed = trimesh.Trimesh(ball.vertices, torch.cat([opened, lids]).numpy(), process=False)
    assert closed.is_watertight
    assert closed.is_winding_consistent
    assert closed.volume > 0
    assert len(topology.closing_faces(faces)) == 0


def test_inconsistent_winding_is_refused() -> None:
    with pytest.raises(HandsError, match="consistent winding"):
        topology.closing_faces(torch.tensor([[0, 1, 2], [0, 1, 3]]))


def test_edges_satisfy_euler(bumpy: tuple[Tensor, Tensor]) -> None:
    vertices, faces = bumpy
    pairs, face_edges = topology.edges(faces)
    assert len(vertices) - len(pairs) + len(faces) == 2
    ends = pairs[face_edges]
    for k in range(3):
        assert torch.equal(ends[:, k], faces[:, [k, (k + 1) % 3]].sort(dim=1).values)


def test_what_meets_in_an_edge_is_what_a_search_over_all_pairs_of_faces_finds() -> None:
    # A tube with a fin: the edge under the fin has three faces, those of the rims one.
    faces = torch.cat([open_tube(), torch.tensor([[0, 6, 10]])])
    found = Topology(faces)
    corners = [set(face) for face in faces.tolist()]
    ends = [set(pair) for pair in found.edges.tolist()]
    around = [[f for f, face in enumerate(corners) if pair <= face] for pair in ends]
    assert found.num_edge_faces.tolist() == [len(members) for members in around]
    assert sorted({len(members) for members in around}) == [1, 2, 3]
    assert found.face_pairs.tolist() == [members for members in around if len(members) == 2]
    for face, row in enumerate(found.face_edges.tolist()):
        for k, edge in enumerate(row):
            assert ends[edge] == {int(faces[face, k]), int(faces[face, (k + 1) % 3])}
            others = [other for other in around[edge] if other != face]
            assert found.neighbors[face, k] == (others[0] if len(others) == 1 else -1)
