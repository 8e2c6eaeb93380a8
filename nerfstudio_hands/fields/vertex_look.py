"""The look of a surface and what a pose does to it, vertex by vertex: light, and linear correctives."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.transforms.color import GAMMA

MIN_LIGHT = 1e-3
"""Least light of a vertex, of which the power is taken."""


START_COLOR = 0.5


class VertexLook(nn.Module):
    """How bright each vertex is in a pose, and how high and of which color what lies there is.

    Brightness is the power of an irradiance: the light transfer times learned coefficients of a light, which is one
    from all sides at first. Heights and colors are what all poses share and, added to that, linear in the pose code.

    Args:
        num_vertices: V.
        light_dim: Numbers of the light transfer; 0 for none.
        code_dim: Numbers of the pose code; 0 for none.
    """

    def __init__(self, num_vertices: int, *, light_dim: int, code_dim: int):
        super().__init__()
        start = torch.zeros(light_dim, 3)
        start[:1] = 2 * math.sqrt(math.pi)
        self.light = nn.Parameter(start)
        self.base = nn.Parameter(torch.tensor([0.0, *[START_COLOR] * 3]).repeat(num_vertices, 1))
        self.correctives = nn.Parameter(torch.zeros(code_dim, num_vertices, 4))

    def brightness(self, transfer: Float[Tensor, "V C"]) -> Float[Tensor, "V 3"]:
        """Factors on the colors."""
        if not len(self.light):
            return transfer.new_ones(len(transfer), 3)
        return (transfer @ self.light).clamp(min=MIN_LIGHT) ** (1 / GAMMA)

    def height_and_color(self, code: Float[Tensor, " P"]) -> Float[Tensor, "V 4"]:
        """Distance from the surface, as a part of the shell, before it is held in it, and color."""
        return self.base + torch.tensordot(code, self.correctives, dims=1)
