"""The Laplacian of a mesh as a symmetric matrix, which makes its products differentiable at the price of one more."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.topology import edges


class Laplacian:
    """Row i of ``L @ x`` is ``sum_j w_ij (x_i - x_j)`` over the neighbors j of vertex i; symmetric, no eigenvalue < 0.

    A mesh of several parts has a block for each, so that they do not know of each other.

    Attributes:
        matrix: ``[V, V]``, compressed rows (CSR).
        diagonal: ``[V]``, the sum of each vertex's weights.
    """

    def __init__(self, matrix: Float[Tensor, "V V"]) -> None:
        matrix = matrix.coalesce()
        row, column = matrix.indices()
        same = row == column
        self.diagonal: Float[Tensor, " V"] = (
            matrix.values().new_zeros(len(matrix)).index_add(0, row[same], matrix.values()[same])
        )
        self.matrix: Float[Tensor, "V V"] = compressed_rows(matrix)

    @staticmethod
    def graph(pairs: Int[Tensor, "E 2"], size: int) -> Laplacian:
        """Weight one for every pair of neighbors, float32.

        Args:
            pairs: Each pair once.
            size: V; what has no neighbors has a zero row.
        """
        degree = torch.bincount(pairs.reshape(-1), minlength=size)
        every = torch.arange(size, device=pairs.device)
        rows = torch.cat([pairs[:, 0], pairs[:, 1], every])
        columns = torch.cat([pairs[:, 1], pairs[:, 0], every])
        values = torch.cat([-torch.ones(2 * len(pairs), device=pairs.device), degree.float()])
        return Laplacian(
            torch.sparse_coo_tensor(torch.stack([rows, columns]), values, (size, size), check_invariants=False)
        )

    @staticmethod
    def uniform(faces: Int[Tensor, "F 3"], num_vertices: int) -> Laplacian:
        """Weight one for every edge, whatever the positions; float32."""
        return Laplacian.graph(edges(faces)[0], num_vertices)

    def times(self, values: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """``L @ values``, differentiable."""
        return _SymmetricProduct.apply(self.matrix.to(values.dtype), values)


class _SymmetricProduct(torch.autograd.Function):
    """Torch would transpose the matrix in every backward pass, which takes longer than all the rest."""

    @staticmethod
    def forward(ctx, matrix: Tensor, values: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix @ values

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:
        return None, _SymmetricProduct.apply(ctx.matrix, gradient)


def compressed_rows(matrix: Float[Tensor, "M N"]) -> Float[Tensor, "M N"]:
    """A matrix as compressed sparse rows, the form whose products are fast, without torch's warning that it is new."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return matrix.to_sparse_csr()
