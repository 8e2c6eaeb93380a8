"""A network from features of a point to its signed distance, which can be differentiated twice."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from nerfstudio_hands.fields.frequency_encoding import FrequencyEncoding

SHARPNESS = 100.0
"""Of the softplus between layers: nearly a ReLU, yet with a second derivative (IGR, arXiv 2002.10099)."""

FLAT_BELOW = -0.15
"""Where the softplus, below 1e-8, is cut off: numbers too small to be normal make a CPU forty times slower."""

FIRST_OUTPUT = 1e-2
"""Scale of the output weights of a network that starts at zero; at zero itself the other layers would not learn."""


SPHERE_SAMPLES = 4096
"""Points by which a network is made to start as a sphere."""


class SignedDistanceNetwork(nn.Module):
    """Signed distance and features, from an encoded position and whatever else is known of a point.

    Weight norm and softplus as in NeuS and VolSDF. Nothing in here runs in tinycudann: its encodings of this kind have
    no second derivative.

    Args:
        feature_dim: numbers beside the position.
        out_features: learned features beside the distance.
        hidden_dim: width.
        num_layers: hidden layers.
        frequencies: octaves by which the position is encoded, from a wave as long as the position's unit.
        start: what it says before training: nearly zero, or the distance from a sphere of radius 1/2 (geometric
            initialization as in SAL, arXiv 1911.10414, whose closed form holds for very wide networks only).
        smooth: whether it has a second derivative; without, its layers end in plain ReLUs, which are faster.
        dropout: share of the hidden numbers that a step of the training leaves out.
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
        smooth: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.smooth, self.dropout = smooth, dropout
        self.encoding = FrequencyEncoding(
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
                _start_as_sphere(layers, position=slice(in_dim - feature_dim - 3, in_dim - feature_dim))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(
        self, position: Float[Tensor, "N 3"], features: Float[Tensor, "N F"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "N G"]]:
        """Distance and features.

        Args:
            position: where the point is, in units of about the size of what is described.
            features: what else is known of it.
        """
        values = torch.cat([self.encoding(position), features], dim=-1)
        for layer in self.layers[:-1]:
            values = _soft(layer(values)) if self.smooth else F.relu(layer(values))
            values = F.dropout(values, self.dropout, self.training) if self.dropout else values
        found = self.layers[-1](values)
        return found[:, 0], found[:, 1:]


def _soft(values: Float[Tensor, "N W"]) -> Float[Tensor, "N W"]:
    return F.softplus(values.clamp(min=FLAT_BELOW), beta=SHARPNESS)


def _start_as_sphere(layers: list[nn.Linear], position: slice) -> None:
    """The position alone passes through the random layers; the last weights are fitted to its norm by least squares."""
    first = layers[0].weight
    kept = first[:, position].clone()
    first.zero_()
    first[:, position] = kept
    radius = 1.5 * torch.rand(SPHERE_SAMPLES, 1)
    values = torch.zeros(SPHERE_SAMPLES, layers[0].in_features)
    values[:, position] = F.normalize(torch.randn(SPHERE_SAMPLES, 3), dim=-1) * radius
    for layer in layers[:-1]:
        values = _soft(layer(values))
    hidden = F.pad(values, (0, 1), value=1.0)
    normal = hidden.T @ hidden + 1e-3 * torch.eye(hidden.shape[1])  # Units may be dead: least squares with a ridge.
    weights = torch.linalg.solve(normal, hidden.T @ (radius - 0.5))[:, 0]
    layers[-1].weight[0], layers[-1].bias[0] = weights[:-1], weights[-1]
