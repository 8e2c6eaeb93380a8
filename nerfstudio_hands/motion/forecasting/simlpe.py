"""A baseline after siMLPe (Guo et al., "Back to MLP: A Simple Baseline for Human Motion Prediction", WACV 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.motion.forecasting.mixer import dct_matrix


@dataclass(frozen=True)
class SimlpeConfig:
    """Layers of the baseline."""

    blocks: int = 24
    """Linear layers along time, each with a normalization and added to what it is given."""


class Simlpe(nn.Module):
    """Linear layers along time on a cosine transform, and no activation at all.

    siMLPe reads 50 frames and says 10. Here, as in its successors, the few frames are followed by as many copies of the
    last one as are to be said, and the transform is of all of them.

    Args:
        width: D, numbers of a frame.
        frames_in: T.
        frames_out: N.
        config: Layers.
    """

    transform: Float[Tensor, "L L"]

    def __init__(self, width: int, frames_in: int, frames_out: int, config: SimlpeConfig):
        super().__init__()
        frames = frames_in + frames_out
        self.frames_out = frames_out
        self.register_buffer("transform", dct_matrix(frames), persistent=False)
        self.enter, self.leave = nn.Linear(width, width), nn.Linear(width, width)
        self.blocks = nn.Sequential(*(LinearAlong(frames, width) for _ in range(config.blocks)))
        # As published: the output begins at zero, that is, at the last pose.
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def fit_linear(self, features: Float[Tensor, "B T D"], future: Float[Tensor, "B N D"]) -> None:
        """Nothing: it begins as published, at the last pose."""

    def forward(self, features: Float[Tensor, "B T D"]) -> Float[Tensor, "B 1 N D"]:
        """The continuation of frames [B, T, D]."""
        last = features[:, -1:]
        filled = torch.cat([features, last.expand(-1, self.frames_out, -1)], dim=1)
        hidden = self.blocks(self.enter(self.transform @ filled))
        change = (self.transform.mT @ self.leave(hidden))[:, -self.frames_out :]
        return (last + change)[:, None]


class LinearAlong(nn.Module):
    """A linear layer along time and a normalization, added to what it is given."""

    def __init__(self, frames: int, width: int):
        super().__init__()
        self.along, self.norm = nn.Linear(frames, frames), nn.LayerNorm(width)
        nn.init.xavier_uniform_(self.along.weight, gain=1e-2)
        nn.init.zeros_(self.along.bias)

    def forward(self, hidden: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        return hidden + self.norm(self.along(hidden.mT).mT)
