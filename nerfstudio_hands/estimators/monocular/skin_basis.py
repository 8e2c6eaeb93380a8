"""Skins of many people as a mean and a few directions, so that a handful of numbers makes a plausible one."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.transforms.color import linear_to_srgb
from nerfstudio_hands.transforms.spherical_harmonics import irradiance

EVENLY_LIT = 3.5449077
"""First coefficient of light that is one from all sides."""
DARKEST = 1e-3


class SkinBasis(nn.Module):
    """Albedo at the vertices of a hand from coefficients; unit one standard deviation.

    Args:
        num_vertices: Of the hand model.
        num_coefficients: Directions.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, num_vertices: int, num_coefficients: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((num_vertices, 3), -1.0))
        self.register_buffer("directions", torch.zeros(num_coefficients, num_vertices, 3))

    def learn(self, skins: Float[np.ndarray, "P V 3"]) -> None:
        """Takes mean and principal components of the logarithm of linear albedo of P people."""
        people, count = skins.shape[:2]
        logs = np.log(skins.clip(DARKEST)).reshape(people, -1)
        mean = logs.mean(0)
        _, spread, axes = np.linalg.svd(logs - mean, full_matrices=False)
        chosen = len(self.directions)
        scaled = axes[:chosen] * (spread[:chosen] / np.sqrt(people - 1))[:, None]
        self.mean.copy_(torch.from_numpy(mean.reshape(count, 3)))
        self.directions.copy_(torch.from_numpy(scaled.reshape(chosen, count, 3)))

    def forward(self, coefficients: Float[Tensor, "B C"]) -> Float[Tensor, "B V 3"]:
        """Linear albedo."""
        return torch.exp(self.mean + torch.einsum("bc,cvk->bvk", coefficients, self.directions)).clamp(max=1.0)


def lit_colors(
    albedo: Float[Tensor, "V 3"], light: Float[Tensor, "9 3"], normals: Float[Tensor, "V 3"]
) -> Float[Tensor, "V 3"]:
    """Colors as displayed of matt skin in a light; 0 is light from all sides.

    Args:
        albedo: Linear.
        light: Spherical harmonics' coefficients beyond even light of one half.
        normals: In the axes of the light.
    """
    even = torch.zeros_like(light)
    even[0] = 0.5 * EVENLY_LIT
    return linear_to_srgb((albedo * irradiance(even + light, normals)).clamp(1e-4, 1.0))
