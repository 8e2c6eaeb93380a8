"""A network from features of a point to its signed distance, which can be differentiated twice."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.field_components.encodings import NeRFEncoding
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

SHARPNESS = 100.0
"""Of the softplus between layers: nearly a ReLU, yet with a second derivative (IGR, arXiv 2002.10099)."""

FLAT_BELOW = -0.15
"""Where the softplus, below 1e-8, is cut off: numbers too small to be normal make a CPU forty times slower."""

FIRST_OUTPUT = 1e-2
"""Scale of the output weights of a network that starts at zero; at zero itself the other layers would not learn."""


class SignedDistanceNetwork(nn.Module):
    """Signed distance and features, from an encoded place and whatever else is known of a point.

    Weight norm and softplus as in NeuS and VolSDF. Nothing in here runs in tinycudann: its encodings of this kind have
    no second derivative.

    Args:
        feature_dim: numbers beside the place.
        out_features: learned features beside the distance.
        hidden_dim: width.
        num_layers: hidden layers.
        frequencies: octaves by which the place is encoded, from a wave as long as the place's unit.
        start: what it says before training: nearly zero, or about the distance from a sphere of radius 1/2 (geometric
            initialisation, SAL, arXiv 1911.10414).
    """

    def __init__(
        self,
        *,
        feature_dim: int,
        out_features: int,
        hidden_dim: int,
        num_layers: int,
        frequencies: int,
        start: Literal["zero", "sphere"],
    ):
        super().__init__()
        self.encoding = NeRFEncoding(
            in_dim=3,
            num_frequencies=frequencies,
            min_freq_exp=0.0,
            max_freq_exp=frequencies - 1.0,
            include_input=True,
        )
        in_dim = self.encoding.get_out_dim() + feature_dim
        widths = [in_dim, *[hidden_dim] * num_layers, 1 + out_features]
        layers = [nn.Linear(before, after) for before, after in zip(widths[:-1], widths[1:], strict=True)]
        with torch.no_grad():
            for layer in layers[:-1]:
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.out_features))
                nn.init.zeros_(layer.bias)
            if start == "zero":
                layers[-1].weight[0] *= FIRST_OUTPUT
                layers[-1].bias[0] = 0
            else:
                _start_as_sphere(layers, place=slice(in_dim - feature_dim - 3, in_dim - feature_dim))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(
        self, place: Float[Tensor, "N 3"], features: Float[Tensor, "N F"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "N G"]]:
        """Distance and features.

        Args:
            place: Where the point is, in units of about the size of what is described.
            features: What else is known of it.
        """
        values = torch.cat([self.encoding(place), features], dim=-1)
        for layer in self.layers[:-1]:
            values = F.softplus(layer(values).clamp(min=FLAT_BELOW), beta=SHARPNESS)
        found = self.layers[-1](values)
        return found[:, 0], found[:, 1:]


def _start_as_sphere(layers: list[nn.Linear], place: slice) -> None:
    """Weights by which the norm of the place passes through all layers; all else starts without effect."""
    first = layers[0].weight
    kept = first[:, place].clone()
    first.zero_()
    first[:, place] = kept
    nn.init.normal_(layers[-1].weight[0], math.sqrt(math.pi / layers[-1].in_features), 1e-4)
    layers[-1].bias[0] = -0.5
