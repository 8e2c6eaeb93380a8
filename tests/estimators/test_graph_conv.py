"""Layers over a mesh, against dense matrices."""

from __future__ import annotations

import pytest
import scipy.sparse
import torch
import trimesh

from nerfstudio_hands.estimators.graph_conv import ChebyshevConv, ResidualBlock, SparseMap, scaled_laplacian
from nerfstudio_hands.geometry.topology import edges


@pytest.fixture
def ball() -> tuple[torch.Tensor, int]:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    return edges(torch.from_numpy(mesh.faces))[0], len(mesh.vertices)


def test_a_chebyshev_convolution_is_a_polynomial_of_the_laplacian(ball):
    pairs, size = ball
    ones = scipy.sparse.coo_matrix(([1.0] * len(pairs), pairs.T.numpy()), (size, size))
    normed = scipy.sparse.csgraph.laplacian(ones + ones.T, normed=True).toarray()
    scaled = torch.from_numpy(normed).float() - torch.eye(size)
    conv = ChebyshevConv(SparseMap(scaled_laplacian(pairs, size)), 5, 3)
    values = torch.randn(size, 2, 5, requires_grad=True)
    first, second = conv.weight.weight.chunk(2)
    bias_first, bias_second = conv.weight.bias.chunk(2)
    shifted = torch.einsum("mn,nbc->mbc", scaled, values @ second.T + bias_second)
    expected = values @ first.T + bias_first + shifted
    found = conv(values)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(size, 2, 3)
    (slope,) = torch.autograd.grad((found * weights).sum(), values)
    (expected_slope,) = torch.autograd.grad((expected * weights).sum(), values)
    torch.testing.assert_close(slope, expected_slope)


def test_upsampling_after_the_weights_is_upsampling_before_them(ball):
    pairs, size = ball
    up = torch.rand(size, 7)
    up = up / up.sum(1, keepdim=True)
    shift = SparseMap(scaled_laplacian(pairs, size))
    conv = ChebyshevConv(shift, 5, 3, upsampling=SparseMap(up))
    plain = ChebyshevConv(shift, 5, 3)
    plain.load_state_dict(conv.state_dict())
    values = torch.randn(7, 2, 5)
    torch.testing.assert_close(conv(values), plain(torch.einsum("mn,nbc->mbc", up, values)))


def test_hands_of_a_batch_do_not_mix(ball):
    pairs, size = ball
    block = ResidualBlock(SparseMap(scaled_laplacian(pairs, size)), 8)
    values = torch.randn(size, 3, 8)
    torch.testing.assert_close(block(values)[:, [1]], block(values[:, [1]]))
