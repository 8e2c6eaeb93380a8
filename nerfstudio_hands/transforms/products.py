"""Products whose gradients do not ask whether a factor is zero, for which torch's own wait for the GPU."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def product(factors: Float[Tensor, "P *N"]) -> Float[Tensor, "*N"]:
    """Product over the first axis, which is short."""
    return _Product.apply(factors)


def cumulative_product(factors: Float[Tensor, "N S"]) -> Float[Tensor, "N S"]:
    """Products of the first, the first two, ... factors of each row, none of which is zero."""
    return _CumulativeProduct.apply(factors)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, factors: Tensor) -> Tensor:
        found = factors.prod(dim=0)
        context.save_for_backward(factors, found)
        return found

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        factors, found = context.saved_tensors
        others = torch.ones_like(factors)
        for turn in range(1, len(factors)):
            others = others * factors.roll(turn, dims=0)
        return torch.where(factors == 0, gradient * others, gradient * (found / factors))


class _CumulativeProduct(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, factors: Tensor) -> Tensor:
        found = factors.cumprod(dim=1)
        context.save_for_backward(factors, found)
        return found

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        factors, found = context.saved_tensors
        return (gradient * found).flip(1).cumsum(dim=1).flip(1) / factors
