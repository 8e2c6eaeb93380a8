"""Layers of networks over a mesh: products with sparse matrices, Chebyshev convolutions and residual blocks.

Values at the N vertices of B hands are [N, B, C], so that a product with a matrix over vertices is one product.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.geometry.laplacian import compressed_rows

GROUPS = 4
"""Groups of channels that are normalised together."""


class SparseMap(nn.Module):
    """A fixed sparse matrix [M, N] applied to values at N vertices."""

    matrix: Tensor
    transposed: Tensor

    def __init__(self, matrix: Float[Tensor, "M N"]) -> None:
        super().__init__()
        # The transpose is kept beside it: turning a sparse matrix takes longer than the product.
        self.register_buffer("matrix", compressed_rows(matrix), persistent=False)
        self.register_buffer("transposed", compressed_rows(matrix.T), persistent=False)

    def forward(self, values: Float[Tensor, "N B C"]) -> Float[Tensor, "M B C"]:
        return _Product.apply(values.flatten(1), self.matrix, self.transposed).unflatten(1, values.shape[1:])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, matrix, transposed):
        ctx.transposed = transposed
        return matrix @ values

    @staticmethod
    def backward(ctx, gradient):
        return ctx.transposed @ gradient.contiguous(), None, None


class ChebyshevConv(nn.Module):
    """Chebyshev convolution of order two: `x W0 + S x W1`, with S = L - I the scaled Laplacian.

    The filters of Defferrard et al., "Convolutional neural networks on graphs with fast localized spectral filtering",
    NIPS 2016, eq. 4, with T0 = I and T1 = S; the largest eigenvalue of a normalised Laplacian is taken as its bound, 2.
    W0 and W1 come first, which is the same, and costs less where they make channels fewer.

    Args:
        shift: S.
        channels_in, channels_out: Channels before and after.
        upsampling: Where values come from a coarser level, what takes them to that of S.
    """

    def __init__(
        self, shift: SparseMap, channels_in: int, channels_out: int, upsampling: SparseMap | None = None
    ) -> None:
        super().__init__()
        self.shift = shift
        self.upsampling = nn.Identity() if upsampling is None else upsampling
        self.weight = nn.Linear(channels_in, 2 * channels_out)

    def forward(self, values: Float[Tensor, "M B C"]) -> Float[Tensor, "N B D"]:
        own, neighbors = self.upsampling(self.weight(values)).chunk(2, -1)
        return own + self.shift(neighbors)


class ResidualBlock(nn.Module):
    """Two convolutions, each after group normalisation and a ReLU, beside the identity."""

    def __init__(self, shift: SparseMap, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, channels) for _ in range(2)])
        self.convs = nn.ModuleList([ChebyshevConv(shift, channels, channels) for _ in range(2)])

    def forward(self, values: Float[Tensor, "N B C"]) -> Float[Tensor, "N B C"]:
        result = values
        for norm, conv in zip(self.norms, self.convs, strict=True):
            result = conv(norm(result.permute(1, 2, 0)).permute(2, 0, 1).relu())
        return values + result


def scaled_laplacian(edges: Int[Tensor, "E 2"], size: int) -> Float[Tensor, "N N"]:
    """`L - I` of a graph, L its normalised Laplacian: minus the neighbours' values, each over the root of degrees.

    Args:
        edges: Undirected edges, each once.
        size: Number of vertices; every one must have a neighbour.
    """
    rows, columns = torch.cat([edges, edges.flip(1)]).T
    scale = torch.bincount(rows, minlength=size).float().rsqrt()
    result = torch.zeros(size, size)
    result[rows, columns] = -scale[rows] * scale[columns]
    return result
