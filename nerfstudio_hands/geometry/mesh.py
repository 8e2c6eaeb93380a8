"""Triangle meshes as tensors: boundaries, closing of holes, normals, edges and Laplacians."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
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
    for start, end in directed[~torch.isin(directed[:, 1] * size + directed[:, 0], half_edges)].tolist():
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


def face_normals(vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*batch F 3"]:
    """Unit normals of the faces, outward for counter-clockwise winding; zero for a face without area."""
    a, b, c = vertices[..., faces[:, 0], :], vertices[..., faces[:, 1], :], vertices[..., faces[:, 2], :]
    return _unit(torch.linalg.cross(b - a, c - a))


def vertex_normals(vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*batch V 3"]:
    """Unit vertex normals: face normals weighted by the angle at the vertex.

    These are the vertex pseudonormals of Baerentzen and Aanaes, "Signed distance computation using the angle weighted
    pseudonormal", TVCG 2005. A vertex that no face uses has normal zero.
    """
    return _unit(_angle_weighted(vertices, faces, face_normals(vertices, faces)))


def cotangent_laplacian(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V V"]:
    """Cotangent Laplacian as a sparse matrix: row i of `L @ x` is sum_j w_ij (x_j - x_i), w_ij = (cot a + cot b) / 2.

    Not divided by the vertex area, so the matrix is symmetric (Pinkall and Polthier, 1993). Carries no gradient.

    Args:
        vertices: Positions, shape (V, 3), metres.
        faces: Vertex indices, shape (F, 3).

    Returns:
        Sparse COO matrix (V, V) in the dtype of `vertices`.
    """
    rows, columns, values = [], [], []
    with torch.no_grad():
        for corner in range(3):
            apex, left, right = faces[:, corner], faces[:, (corner + 1) % 3], faces[:, (corner + 2) % 3]
            u, v = vertices[left] - vertices[apex], vertices[right] - vertices[apex]
            area = torch.linalg.cross(u, v).norm(dim=-1)
            weight = 0.5 * (u * v).sum(-1) / area.clamp_min(torch.finfo(vertices.dtype).tiny)
            rows += [left, right, left, right]
            columns += [right, left, left, right]
            values += [weight, weight, -weight, -weight]
    indices = torch.stack([torch.cat(rows), torch.cat(columns)])
    size = (len(vertices), len(vertices))
    return torch.sparse_coo_tensor(indices, torch.cat(values), size, check_invariants=False).coalesce()


def _angle_weighted(vertices: Tensor, faces: Tensor, normals: Tensor) -> Tensor:
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        apex = vertices[..., faces[:, corner], :]
        u = vertices[..., faces[:, (corner + 1) % 3], :] - apex
        v = vertices[..., faces[:, (corner + 2) % 3], :] - apex
        angle = torch.atan2(torch.linalg.cross(u, v).norm(dim=-1), (u * v).sum(-1))
        sums = sums.index_add(-2, faces[:, corner], angle[..., None] * normals)
    return sums


def _unit(vectors: Tensor) -> Tensor:
    # A plain normalisation has NaN gradients at zero length, hence the square under the root is bounded below.
    square = (vectors * vectors).sum(-1, keepdim=True)
    return vectors * square.clamp_min(torch.finfo(vectors.dtype).tiny).rsqrt()
