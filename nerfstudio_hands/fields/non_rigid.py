"""What skinning does not explain: a small offset of the canonical position that depends on the pose."""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.field_components.mlp import MLP
from torch import Tensor, nn

from nerfstudio_hands.fields.frequency_encoding import FrequencyEncoding


class NonRigidOffset(nn.Module):
    """Offset of a point in canonical space (after HumanNeRF's non-rigid motion), zero until it is admitted.

    Args:
        low, high: corners of the box in canonical space [3], meters.
        pose_dim: numbers of the pose code.
        reach: longest offset along an axis, meters.
        hidden_dim: width of the network.
    """

    low: Tensor
    size: Tensor
    progress: Tensor

    def __init__(
        self,
        low: Float[Tensor, "3"],
        high: Float[Tensor, "3"],
        *,
        pose_dim: int,
        reach: float = 0.003,
        hidden_dim: int = 64,
    ):
        super().__init__()
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("size", high - low, persistent=False)
        self.register_buffer("progress", torch.zeros(()))
        self.reach = reach
        self.encoding = FrequencyEncoding(
            in_dim=3, num_frequencies=5, min_freq_exp=0.0, max_freq_exp=4.0, include_input=True
        )
        self.network = MLP(
            in_dim=self.encoding.get_out_dim() + pose_dim, num_layers=3, layer_width=hidden_dim, out_dim=3
        )

    def forward(self, positions: Float[Tensor, "N 3"], pose_code: Float[Tensor, "N P"]) -> Float[Tensor, "N 3"]:
        """Offsets in meters; `progress`, between 0 and 1, says how far they are admitted."""
        encoded = self.encoding((positions.detach() - self.low) / self.size)
        return self.progress * self.reach * torch.tanh(self.network(torch.cat([encoded, pose_code], dim=-1)))
