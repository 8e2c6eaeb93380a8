"""Colors as pictures store them and as light adds up (IEC 61966-2-1, the sRGB standard)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

GAMMA = 2.2
"""Exponent between the light that adds up and the values of pictures where sRGB's own curve is not needed: a power
makes a gain on the light a gain on the values."""


def linear_to_srgb(colors: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Encodes linear colors for a picture file; negative ones become zero."""
    colors = colors.clamp(min=0)
    # Below the bound, where the power is not taken, its gradient must be finite nevertheless.
    power = 1.055 * colors.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(colors <= 0.0031308, 12.92 * colors, power)


def srgb_to_linear(colors: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Decodes the colors of a picture file, in [0, 1], to linear ones."""
    power = ((colors.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(colors <= 0.04045, colors / 12.92, power)
