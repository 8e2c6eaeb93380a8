"""Learned features on planes at several resolutions, read bilinearly.

The same encoding serves texture coordinates (one plane) and positions (three planes, whose features are multiplied,
after K-Planes, arXiv 2301.10241). It needs no compiled kernel and trains well on a CPU.
"""

from __future__ import annotations

from typing import Any, Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nerfstudio_hands.transforms.products import product


class PlaneEncoding(nn.Module):
    """Features of coordinates in [0, 1]^2 or [0, 1]^3.

    Args:
        num_coordinates: 2 for one plane, 3 for the three axis-aligned planes of a cube.
        resolutions: texels along a side, a level each.
        channels: features a level.
        aspect: width over height of the plane; two atlases side by side have 2.
    """

    def __init__(self, num_coordinates: int, resolutions: Sequence[int], channels: int = 8, aspect: int = 1):
        super().__init__()
        self.axes = [(0, 1)] if num_coordinates == 2 else [(0, 1), (0, 2), (1, 2)]
        self.out_dim = channels * len(resolutions)
        # Products of factors near one neither vanish nor explode; a lone plane starts near zero.
        start = 0.0 if num_coordinates == 2 else 1.0
        self.levels = nn.ParameterList(
            nn.Parameter(start + 0.1 * torch.randn(len(self.axes), channels, size, size * aspect))
            for size in resolutions
        )

    def forward(self, coordinates: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        """Features at the coordinates; those outside [0, 1] read the border."""
        columns = coordinates.unbind(dim=1)
        planes = [torch.stack([columns[first], columns[second]], dim=1) for first, second in self.axes]
        grid = torch.stack(planes)[:, :, None] * 2 - 1  # [P, N, 1, 2]
        features = []
        for level in self.levels:
            planes = F.grid_sample(level, grid, mode="bilinear", padding_mode="border", align_corners=False)
            features.append(product(planes[..., 0]).T)  # [N, channels]
        return torch.cat(features, dim=-1)

    def total_variation(self) -> Float[Tensor, ""]:
        """Mean squared difference of neighboring texels, summed over the levels."""
        return total_variation(self.levels)


def total_variation(levels: Iterable[Float[Tensor, "*B H W"]]) -> Float[Tensor, ""]:
    """Mean squared difference of neighboring texels, summed over pictures."""
    return torch.stack([_MeanSquaredStep.apply(level, dim) for level in levels for dim in (-1, -2)]).sum()


class _MeanSquaredStep(torch.autograd.Function):
    """Mean square of `diff`, whose own gradient makes and adds up as many whole pictures as there are slices."""

    @staticmethod
    def forward(context: Any, level: Float[Tensor, "*B H W"], dim: int) -> Float[Tensor, ""]:
        step = level.diff(dim=dim)
        context.save_for_backward(step)
        context.dim = dim
        return step.square().mean()

    @staticmethod
    @once_differentiable
    def backward(context: Any, of_mean: Float[Tensor, ""]) -> tuple[Float[Tensor, "*B H W"], None]:
        (step,), dim = context.saved_tensors, context.dim
        count = step.shape[dim]
        pull = step * (2 / step.numel() * of_mean)
        padding = (0, 1) if dim == -1 else (0, 0, 0, 1)
        found = F.pad(-pull, padding)
        found.narrow(dim, 1, count).add_(pull)
        return found, None
