"""Products against torch's own, bit for bit, and where a factor is zero."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.transforms.products import cumulative_product, product


@pytest.mark.parametrize("count", [1, 3])
def test_a_product_and_its_gradient_are_those_of_torch(count: int) -> None:
    torch.manual_seed(0)
    factors, weights = torch.randn(count, 5, 40, requires_grad=True), torch.randn(5, 40)
    (ours,), (theirs,) = (torch.autograd.grad(f, factors, weights) for f in (product(factors), factors.prod(dim=0)))
    assert torch.equal(product(factors), factors.prod(dim=0)) and torch.equal(ours, theirs)


def test_a_factor_of_zero_has_the_others_product_as_its_slope() -> None:
    factors = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [5.0, 7.0, 4.0]], requires_grad=True)
    product(factors).sum().backward()
    assert factors.grad.tolist() == [[0, 21, 0], [10, 0, 0], [0, 0, 0]]


def test_products_so_far_and_their_gradient_are_those_of_torch() -> None:
    torch.manual_seed(0)
    factors, weights = (1 - torch.rand(40, 16) + 1e-7).requires_grad_(), torch.randn(40, 16)
    ours, theirs = cumulative_product(factors), factors.cumprod(dim=1)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(found, factors, weights)[0] for found in (ours, theirs)]
    assert torch.equal(*gradients)
