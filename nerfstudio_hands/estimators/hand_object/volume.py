"""Places in space from heat maps of three dimensions, and what a camera makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.estimators.soft_argmax import cell_places

TINY = 1e-12
"""Probability of which the logarithm is still taken."""


@dataclass
class VolumePlaces:
    """What J volumes of each of B pictures say; places are -1 to 1 between the outer borders of the cells.

    Attributes:
        places: Expected, across, down and in depth.
        log_maps: Logarithms of the probabilities of the pixels, which add up to one.
        log_depths: The same of the depths.
    """

    places: Float[Tensor, "B J 3"]
    log_maps: Float[Tensor, "B J h w"]
    log_depths: Float[Tensor, "B J D"]


def soft_argmax_volume(maps: Float[Tensor, "B C h w"], cells: int) -> VolumePlaces:
    """Places in volumes by their expectation (Sun et al., "Integral human pose regression", ECCV 2018).

    Args:
        maps: Scores, C = J * cells: the depths of each volume one after the other.
        cells: Of a volume along its depth.
    """
    height, width = maps.shape[2:]
    scores = maps.unflatten(1, (-1, cells))
    weights = scores.flatten(2).float().softmax(-1).view(scores.shape)
    across, down, deep = (cell_places(count, maps.device) for count in (width, height, cells))
    slices, depths = weights.sum(2), weights.sum((3, 4))
    places = torch.stack([slices.sum(2) @ across, slices.sum(3) @ down, depths @ deep], -1)
    return VolumePlaces(places, slices.clamp_min(TINY).log(), depths.clamp_min(TINY).log())


def rays_of(places: Float[Tensor, "B J 2"], focal: Float[Tensor, " B"]) -> Float[Tensor, "B J 3"]:
    """Where points at depth one lie that are seen at places of the crop.

    Args:
        places: -1 to 1 between the crop's borders.
        focal: Of the views, sides of the crop.
    """
    flat = places / (2 * focal)[:, None, None]
    return torch.cat([flat, torch.ones_like(flat[..., :1])], -1)


def seen_at(points: Float[Tensor, "B N 3"], focal: Float[Tensor, " B"]) -> Float[Tensor, "B N 2"]:
    """Places of the crop, -1 to 1, where points are seen; the inverse of `rays_of`."""
    return 2 * focal[:, None, None] * points[..., :2] / points[..., 2:].clamp_min(1e-3)


def depth_of_known_lengths(
    rays: Float[Tensor, "B P 2 3"], depths: Float[Tensor, "B P 2"], lengths: Float[Tensor, " P"]
) -> Float[Tensor, " B"]:
    """How far away a hand is whose bones have known lengths.

    Iqbal et al., "Hand pose estimation via latent 2.5D heatmap regression", ECCV 2018, ask one bone.

    Each pair of joints says a depth: that at which they are as far from each other as they are known to be. The more
    a pair's ends would part with the depth, the more it is believed.

    Args:
        rays: Of the two ends of P pairs, see `rays_of`.
        depths: Of the same, relative to the depth that is asked for, meters.
        lengths: Between them, meters.

    Returns:
        Meters; at least a centimeter.
    """
    apart = rays[..., 0, :] - rays[..., 1, :]
    offset = rays[..., 0, :] * depths[..., 0, None] - rays[..., 1, :] * depths[..., 1, None]
    squared, mixed = (apart**2).sum(-1).clamp_min(1e-8), (apart * offset).sum(-1)
    root = (mixed**2 - squared * ((offset**2).sum(-1) - lengths**2)).clamp_min(0).sqrt()
    found = (root - mixed) / squared
    return ((squared * found).sum(-1) / squared.sum(-1)).clamp_min(0.01)
