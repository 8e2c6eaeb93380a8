"""Places from heat maps by their expectation (Sun et al., "Integral human pose regression", ECCV 2018)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def soft_argmax(maps: Float[Tensor, "B J h w"]) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J P"]]:
    """Expected place of each map, and the weights of its h w cells, which add up to one.

    Places are those of `cell_places`. The softmax is taken in single precision whatever that of the maps.
    """
    weights = maps.flatten(2).float().softmax(-1)
    height, width = maps.shape[2:]
    down, across = (cell_places(count, weights.device) for count in (height, width))
    grid = weights.unflatten(-1, (height, width))
    return torch.stack([grid.sum(2) @ across, grid.sum(3) @ down], -1), weights


def cell_places(count: int, device: torch.device) -> Float[Tensor, " N"]:
    """Centers of cells side by side whose outer borders lie at -1 and 1."""
    return (2 * torch.arange(count, device=device, dtype=torch.float32) + 1) / count - 1
