"""Layers between a backbone and what is read off its features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 96
"""Channels of the maps that heat maps and joints' features are taken from."""


class Neck(nn.Module):
    """Adds coarse features to fine ones (Lin et al., "Feature pyramid networks for object detection", CVPR 2017).

    Args:
        channels: Of the features from fine to coarse.
        width: Channels of what comes out, which is as fine as the finest.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.across = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.blend = nn.ModuleList(
            nn.Sequential(
                *(nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
                *(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            )
            for _ in channels
        )

    def forward(self, features: list[Float[Tensor, "B C h w"]]) -> Float[Tensor, "B W h w"]:
        maps = None
        for feature, across, blend in reversed(list(zip(features, self.across, self.blend, strict=True))):
            finer = across(feature)
            if maps is not None:
                finer = finer + functional.interpolate(maps, size=finer.shape[2:], mode="bilinear", align_corners=False)
            maps = finer + blend(finer)
        return maps  # pyright: ignore[reportReturnType]


def small_start(layer: nn.Linear) -> nn.Linear:
    """A last layer that begins near what is typical of a hand."""
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
    return layer
