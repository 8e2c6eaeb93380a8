"""What depends on the faces of a triangle mesh alone: edges, what meets in them, boundaries and their closing."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError


def boundary_loops(faces: Int[Tensor, "F 3"]) -> list[Int[Tensor, " L"]]:
    """Closed walks along the edges that belong to one face only.

    Args:
        faces: Vertex indices, shape (F, 3), consistently wound.

    Returns:
        One index tensor a loop, each in the direction in which the adjacent faces run along it. A loop never visits a
        vertex twice: where two holes touch in a vertex they are two loops.

    Raises:
        HandsError: if two faces run along an edge in the same direction (the winding is inconsistent).
    """
    directed = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).long()
    size = int(directed.max()) + 1 if len(directed) else 0
    half_edges = directed[:, 0] * size + directed[:, 1]
    repeated = len(half_edges) - len(half_edges.unique())
    if repeated:
        raise HandsError(
            f"expected faces with consistent winding, found {repeated} edges along which two "
            "faces run in the same direction; orient the faces of the mesh consistently first"
        )
    following: dict[int, list[int]] = {}
    inner = torch.isin(directed[:, 1] * size + directed[:, 0], half_edges, assume_unique=True)
    for start, end in directed[~inner].tolist():
        following.setdefault(start, []).append(end)
    loops = []
    while following:
        walk = [next(iter(following))]
        position = {walk[0]: 0}
        while True:
            ends = following[walk[-1]]
            end = ends.pop()
            if not ends:
                del following[walk[-1]]
            if end not in position:
                position[end] = len(walk)
                walk.append(end)
                continue
            # The walk met itself: what lies between is a loop, and the rest of the walk goes on from its start.
            first = position[end]
            loops.append(torch.tensor(walk[first:], dtype=faces.dtype, device=faces.device))
            for vertex in walk[first + 1 :]:
                del position[vertex]
            del walk[first + 1 :]
            if end not in following:
                break
    return loops


def closing_faces(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "C 3"]:
    """Faces over existing vertices that close every hole of a mesh.

    Each hole is covered by a strip that zigzags across it, so that a roughly round, roughly flat hole (a wrist) gets
    faces of balanced shape without any added vertex, whatever the pose.

    Args:
        faces: Vertex indices, shape (F, 3), consistently wound.

    Returns:
        Vertex indices, shape (C, 3), wound like `faces`; a loop of L vertices gives L - 2 faces.

    Raises:
        HandsError: if the winding of `faces` is inconsistent.
    """
    closing: list[list[int]] = []
    for loop in boundary_loops(faces):
        polygon = loop.flip(0).tolist()
        low, high = 0, len(polygon) - 1
        while high - low > 1:
            closing.append([polygon[low], polygon[low + 1], polygon[high]])
            low += 1
            if high - low > 1:
                closing.append([polygon[low], polygon[high - 1], polygon[high]])
                high -= 1
    return torch.tensor(closing, dtype=faces.dtype, device=faces.device).reshape(-1, 3)


def edges(faces: Int[Tensor, "F 3"]) -> tuple[Int[Tensor, "E 2"], Int[Tensor, "F 3"]]:
    """Undirected edges of a mesh and which of them each face has.

    Args:
        faces: Vertex indices, shape (F, 3).

    Returns:
        Edges (E, 2), the smaller index first, sorted; and per face the three edge indices, in the order of the
        corners (0, 1), (1, 2), (2, 0).
    """
    first, second = faces, faces.roll(-1, dims=1)
    size = int(faces.max()) + 1 if len(faces) else 1
    # One number an edge, because torch is many times slower at telling rows apart.
    keys = torch.minimum(first, second).long() * size + torch.maximum(first, second)
    unique, inverse = torch.unique(keys, return_inverse=True)
    return torch.stack([unique // size, unique % size], dim=1).to(faces.dtype), inverse


def incidence(members: Int[Tensor, "F 3"], count: int) -> tuple[Int[Tensor, " N"], Int[Tensor, " M"]]:
    """Faces around each of `count` vertices or edges, in compressed rows, int32.

    Args:
        members: The three vertices, or edges, of each face.
        count: How many vertices or edges there are.

    Returns:
        Starts of the rows (count + 1), and the faces (3 F), those of one row in increasing order.
    """
    flat = members.reshape(-1)
    order = torch.argsort(flat, stable=True)
    starts = torch.zeros(count + 1, dtype=torch.int32, device=members.device)
    starts[1:] = torch.bincount(flat, minlength=count).cumsum(0)
    return starts, (order // 3).to(torch.int32)


class Topology:
    """Edges of a mesh and what meets there, on the device of its faces.

    Attributes:
        faces: ``[F, 3]``.
        edges: ``[E, 2]``, see :func:`edges`.
        face_edges: ``[F, 3]``, see :func:`edges`.
    """

    def __init__(self, faces: Int[Tensor, "F 3"]) -> None:
        self.faces: Int[Tensor, "F 3"] = faces
        self.edges: Int[Tensor, "E 2"]
        self.face_edges: Int[Tensor, "F 3"]
        self.edges, self.face_edges = edges(faces)

    @cached_property
    def edge_faces(self) -> tuple[Int[Tensor, " N"], Int[Tensor, " M"]]:
        """Faces around each edge, see :func:`incidence`."""
        return incidence(self.face_edges, len(self.edges))

    @cached_property
    def num_edge_faces(self) -> Int[Tensor, " E"]:
        """How many faces each edge has; one on the boundary."""
        return self.edge_faces[0].diff()

    @cached_property
    def neighbors(self) -> Int[Tensor, "F 3"]:
        """Per face, the face across each of its edges, int64; -1 where there is not exactly one."""
        incident = self.edge_faces[1].long()
        # The two faces of an edge add up to a number from which either is got by taking away the other.
        edge = torch.repeat_interleave(self.num_edge_faces)
        sums = torch.zeros(len(self.edges), dtype=torch.int64, device=incident.device).index_add(0, edge, incident)
        own = torch.arange(len(self.faces), device=incident.device)[:, None]
        return torch.where(self.num_edge_faces[self.face_edges] == 2, sums[self.face_edges] - own, -1)

    @cached_property
    def face_pairs(self) -> Int[Tensor, "N 2"]:
        """Faces that share an edge which no third one has, in the order of the edges, int64."""
        starts, incident = self.edge_faces
        first = starts[:-1][self.num_edge_faces == 2].long()
        return incident.long()[torch.stack([first, first + 1], dim=1)]
