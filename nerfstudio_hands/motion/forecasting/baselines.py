"""Forecasts without learning, which every model has to beat: the last pose, and constant velocity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.motion.forecasting.representations import Representation


@dataclass(frozen=True)
class LastPose:
    """The hand stops."""

    representation: Representation

    def __call__(self, states: Float[Tensor, "B T S"], count: int) -> Float[Tensor, "B N S"]:
        return states[:, -1:].expand(-1, count, -1)


@dataclass(frozen=True)
class ConstantVelocity:
    """The hand goes on as between the last two frames."""

    representation: Representation

    def __call__(self, states: Float[Tensor, "B T S"], count: int) -> Float[Tensor, "B N S"]:
        anchor = states[:, -1]
        before, last = self.representation.encode(states[:, -2:], anchor).unbind(1)
        ahead = torch.arange(1, count + 1, dtype=states.dtype, device=states.device)[:, None]
        return self.representation.decode(last[:, None] + ahead * (last - before)[:, None], anchor)
