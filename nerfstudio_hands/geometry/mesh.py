"""Normals, areas and the Laplacian of triangle meshes as tensors."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def face_normals(vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*batch F 3"]:
    """Unit normals of the faces, outward for counter-clockwise winding; zero for a face without area."""
    return _unit(_doubled_normals(vertices, faces))


def face_areas(vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*batch F"]:
    """Areas of the faces, in the square of the vertices' unit."""
    return 0.5 * _doubled_normals(vertices, faces).norm(dim=-1)


def _doubled_normals(vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*batch F 3"]:
    """Normals of the faces, twice as long as these have area."""
    a, b, c = vertices[..., faces[:, 0], :], vertices[..., faces[:, 1], :], vertices[..., faces[:, 2], :]
    return torch.linalg.cross(b - a, c - a)


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
    # A plain normalization has NaN gradients at zero length, hence the square under the root is bounded below.
    square = (vectors * vectors).sum(-1, keepdim=True)
    return vectors * square.clamp_min(torch.finfo(vectors.dtype).tiny).rsqrt()
