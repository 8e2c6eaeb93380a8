"""When what a kernel found is computed again in torch, and how tensors are handed to it."""

from __future__ import annotations

import torch
from torch import Tensor


def needs_recompute(*tensors: Tensor) -> bool:
    """Whether what a kernel found has to be computed again in torch: for gradients, or for float64."""
    graph = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return graph or any(tensor.dtype == torch.float64 for tensor in tensors)


def contiguous_float32(tensor: Tensor) -> Tensor:
    """Without gradients, as kernels read it."""
    return tensor.detach().to(torch.float32).contiguous()
