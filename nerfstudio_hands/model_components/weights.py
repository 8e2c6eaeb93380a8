"""How much of its ray's color each sample is: by density (VolSDF), or by signed distances alone (NeuS)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.transforms.products import cumulative_product

MIN_VISIBLE_WEIGHT = 1e-3
"""Weight of a sample in its pixel below which its color is left out of renderings; of 16 samples, at most 4 of 255."""

MIN_COSINE = 0.1
"""Least cosine between ray and surface for which it is told where they meet."""


def volsdf_density(distance: Float[Tensor, "*N"], beta: Float[Tensor, ""]) -> Float[Tensor, "*N"]:
    """Density in 1/m: Laplace's distribution function of the negative distance over beta (VolSDF, arXiv 2106.12052).

    Args:
        distance: signed distances, meters, positive outside.
        beta: scale of the distribution, meters.
    """
    scaled = distance / beta
    occupancy = torch.where(scaled > 0, 0.5 * torch.exp(-scaled.clamp(min=0)), 1 - 0.5 * torch.exp(scaled.clamp(max=0)))
    return occupancy / beta


def density_weights(density: Float[Tensor, "M S"], width: Float[Tensor, "M S"]) -> Float[Tensor, "M S"]:
    """Weights of samples of a density.

    Args:
        density: at each sample, 1/m.
        width: length of the ray that it stands for, meters.
    """
    alpha = 1 - torch.exp(-density * width)
    transmittance = cumulative_product(1 - alpha + 1e-7)
    return alpha * torch.cat([torch.ones_like(alpha[:, :1]), transmittance[:, :-1]], dim=1)


def neus_weights(
    distance: Float[Tensor, "M S"], counts: Bool[Tensor, "M S"], inverse_s: Float[Tensor, ""]
) -> Float[Tensor, "M S"]:
    """Fraction of each ray's light that comes from before each sample and from behind the previous one.

    With the logistic distribution function P of scale 1 / s, a section lets through P(next) / P(previous), or all where
    the ray leaves the surface (NeuS, arXiv 2106.10689, equation 13): it does not matter how far samples are apart.

    Args:
        distance: signed distances at samples in order, meters.
        counts: samples of what is shown; a section counts if both its ends do.
        inverse_s: 1 / s, meters.
    """
    log_cdf = F.logsigmoid(distance / inverse_s)
    steps = torch.cat([log_cdf[:, :1], log_cdf.diff(dim=1)], dim=1)
    both = counts & torch.cat([counts[:, :1], counts[:, :-1]], dim=1)
    transmittance = torch.where(both, steps, 0.0).clamp(max=0).cumsum(dim=1).exp()
    return torch.cat([torch.ones_like(transmittance[:, :1]), transmittance[:, :-1]], dim=1) - transmittance


def zero_crossings(depth: Float[Tensor, "M S"], distance: Float[Tensor, "M S"]) -> Float[Tensor, "M S"]:
    """Where in the section that ends at each depth the surface lies, were the distance linear in between; the nearer
    end of those it does not cross, and of the first, which starts nowhere, its end.

    Args:
        depth: not decreasing along a ray.
        distance: signed distances there; the result is differentiable in these.
    """
    length = depth.diff(dim=1)
    # Along the surface where it is grazed a small change of it would be a large one of the place.
    fall = torch.maximum(distance[:, :-1] - distance[:, 1:], MIN_COSINE * length).clamp(min=1e-9)
    inner = depth[:, :-1] + length * (distance[:, :-1] / fall).clamp(0, 1)
    return torch.cat([depth[:, :1], inner], dim=1)


def visible_samples(weight: Float[Tensor, "M S"], *, num_random: int = 0) -> Int[Tensor, "N"]:
    """Samples that weigh something, and some others, as indices into the flattened weights.

    Args:
        weight: of each sample.
        num_random: samples that are drawn besides, whatever they weigh; fewer where they meet.
    """
    visible = (weight > MIN_VISIBLE_WEIGHT).flatten()
    if num_random and len(visible):
        visible = visible.scatter(0, torch.randint(len(visible), (num_random,), device=visible.device), True)
    return torch.nonzero(visible)[:, 0]
