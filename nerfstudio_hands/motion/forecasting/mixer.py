"""The convolutional mixer: convolutions along time, then along the pose.

After Zhuravlev and von Bornhaupt's MotionMixerConv, which puts convolutions where MotionMixer (Bouazizi et al., IJCAI
2022) has perceptrons. What differs here: a frame comes with its step from the frame before; what is said is added to
the last frame; a few matrices along time continue the steps, blended by what the blocks find; frames to come are made
of all channels and frames at once, instead of first of frames and then of channels; kernels have odd sizes, as even
ones are padded unevenly.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig

STEPS = 10.0
"""Factor on the steps from frame to frame, which are small beside poses."""

RIDGE = 1e-4
"""Of the mean square of steps, by which a fit to them is kept from leaning on the first one, which is always zero."""


class Mixer(nn.Module):
    """From the features of some frames to those of the next.

    Args:
        width: D, numbers of a frame.
        frames_in: T.
        frames_out: N.
        futures: F, how many continuations are given.
        config: Layers.
    """

    def __init__(self, width: int, frames_in: int, frames_out: int, futures: int, config: MixerConfig):
        super().__init__()
        self.futures, self.frames_out = futures, frames_out
        self.harmonics = Harmonics(config.harmonics) if config.harmonics else nn.Identity()
        self.encoder = nn.Linear(2 * width * (1 + 2 * config.harmonics), config.embedding)
        self.lift = nn.Linear(1, config.channels)
        self.blocks = nn.Sequential(*(Block(frames_in, config) for _ in range(config.blocks)))
        self.norm = nn.LayerNorm(config.embedding)
        self.to_future = nn.Linear(config.channels * frames_in, futures * frames_out)
        self.decoder = nn.Linear(config.embedding, width)
        self.along = Along(width, frames_in, futures * frames_out, config) if config.matrices else None
        # Training begins at the last pose, or at what `fit_linear` finds.
        nn.init.zeros_(self.decoder.weight)
        nn.init.zeros_(self.decoder.bias)

    @torch.no_grad()
    def fit_linear(self, features: Float[Tensor, "B T D"], future: Float[Tensor, "B N D"]) -> None:
        """Gives the first matrix along time what fits a future best, in the sense of least squares."""
        if self.along is None:
            return
        rows = _steps(features).mT.flatten(0, 1)
        wanted = (future - features[:, -1:]).mT.flatten(0, 1)
        found = torch.linalg.solve(rows.T @ rows + RIDGE * len(rows) * torch.eye(rows.shape[1]), rows.T @ wanted)
        self.along.matrices[0].copy_(found.repeat(1, self.futures))

    def forward(self, features: Float[Tensor, "B T D"]) -> Float[Tensor, "B F N D"]:
        """Continuations of frames [B, T, D]."""
        steps = _steps(features)
        hidden = self.encoder(self.harmonics(torch.cat([features, steps], dim=-1)))
        hidden = self.lift(hidden[..., None])  # [B, T, E, C]
        hidden = self.norm(self.blocks(hidden.permute(0, 3, 1, 2)))  # [B, C, T, E]
        hidden = hidden.flatten(1, 2).mT  # [B, E, C*T]
        change = self.decoder(nn.functional.gelu(self.to_future(hidden).mT))
        if self.along is not None:
            change = change + self.along(steps, hidden)
        return features[:, None, -1:] + change.unflatten(1, (self.futures, self.frames_out))


class Along(nn.Module):
    """Matrices along time, the same for all numbers, of which each number gets its own blend.

    Args:
        width: D.
        frames_in: T.
        frames_out: N.
        config: Layers.
    """

    base: Float[Tensor, "M 1"]

    def __init__(self, width: int, frames_in: int, frames_out: int, config: MixerConfig):
        super().__init__()
        self.matrices = nn.Parameter(0.02 * torch.randn(config.matrices, frames_in, frames_out))
        self.reduce = nn.Linear(config.channels * frames_in, config.matrices)
        self.blend = nn.Linear(config.embedding, width)
        nn.init.zeros_(self.blend.bias)
        # The first matrix alone, to begin with.
        self.register_buffer("base", nn.functional.one_hot(torch.tensor(0), config.matrices).float()[:, None])

    def forward(self, steps: Float[Tensor, "B T D"], hidden: Float[Tensor, "B E K"]) -> Float[Tensor, "B N D"]:
        blend = self.base + self.blend(nn.functional.gelu(self.reduce(hidden).mT))  # [B, M, D]
        # Blended before they are continued, not after: where there are many continuations this is far less to hold.
        blended = (blend[:, :, None] * steps[:, None]).flatten(1, 2)  # [B, M*T, D]
        return self.matrices.flatten(0, 1).mT @ blended


def _steps(features: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    return STEPS * features.diff(dim=1, prepend=features[:, :1])


class Block(nn.Module):
    """A convolution along time, then one along the pose, each added to what it is given."""

    def __init__(self, frames: int, config: MixerConfig):
        super().__init__()
        squeeze = SqueezeTime(frames, config.squeeze) if config.squeeze else nn.Identity()
        kernels = ((config.time_kernel, config.cross_kernel), (config.cross_kernel, config.pose_kernel))
        wanted = [kernel for kernel, on in zip(kernels, (config.mix_time, config.mix_pose), strict=True) if on]
        # One squeeze-and-excitation serves both convolutions.
        self.mixes = nn.ModuleList(nn.Sequential(*_mix(kernel, config), squeeze) for kernel in wanted)

    def forward(self, hidden: Float[Tensor, "B C T E"]) -> Float[Tensor, "B C T E"]:
        for mix in self.mixes:
            hidden = hidden + mix(hidden)
        return hidden


class LineConvolution(nn.Module):
    """A convolution along one axis, padded with zeros to the same size: what `nn.Conv2d` does with a kernel of (k, 1)
    or (1, k), as one product of matrices, which takes a tenth of the time where there are few channels and k is large.

    Args:
        channels: C.
        size: k, odd.
        axis: 2 for time, 3 for the pose.
    """

    def __init__(self, channels: int, size: int, axis: int):
        super().__init__()
        self.axis = axis
        bound = 1 / math.sqrt(channels * size)
        self.weight = nn.Parameter(torch.empty(channels, channels, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(self, hidden: Float[Tensor, "B C T E"]) -> Float[Tensor, "B C T E"]:
        lines = hidden.movedim(self.axis, 3).transpose(1, 2)  # [B, L, C, N], N along the axis
        channels, count = lines.shape[2:]
        mixed = lines.flatten(2) @ self._matrix(count).T
        mixed = mixed.unflatten(2, (channels, count)) + self.bias[:, None]
        return mixed.transpose(1, 2).movedim(3, self.axis)

    def _matrix(self, count: int) -> Float[Tensor, "CN CN"]:
        """From all channels of a line to all channels of the convolved one."""
        size = self.weight.shape[-1]
        place = torch.arange(count, device=self.weight.device)
        tap = place - place[:, None] + size // 2
        inside = (tap >= 0) & (tap < size)
        taps = self.weight[..., tap.clamp(0, size - 1)] * inside
        return taps.transpose(1, 2).flatten(2).flatten(0, 1)


class SqueezeTime(nn.Module):
    """Squeeze-and-excitation (Hu et al., CVPR 2018) of frames: each is weighed by what all of them hold on average."""

    def __init__(self, frames: int, squeeze: int):
        super().__init__()
        narrow = max(frames // squeeze, 1)
        self.weigh = nn.Sequential(
            nn.Linear(frames, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, frames, bias=False), nn.Sigmoid()
        )

    def forward(self, hidden: Float[Tensor, "B C T E"]) -> Float[Tensor, "B C T E"]:
        return hidden * self.weigh(hidden.mean(dim=(1, 3)))[:, None, :, None]


class Harmonics(nn.Module):
    """Every number beside sines and cosines of it, of frequencies 0.1 * 2^k."""

    frequencies: Float[Tensor, " K"]

    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("frequencies", 0.1 * 2.0 ** torch.arange(count), persistent=False)

    def forward(self, features: Float[Tensor, "*B D"]) -> Float[Tensor, "*B E"]:
        waves = (features[..., None] * self.frequencies).flatten(-2)
        return torch.cat([features, waves.sin(), waves.cos()], dim=-1)


def _mix(kernel: tuple[int, int], config: MixerConfig) -> list[nn.Module]:
    return [
        nn.LayerNorm(config.embedding),
        _convolution(kernel, config.channels),
        {"mish": nn.Mish, "gelu": nn.GELU}[config.activation](),
        {"none": nn.Identity, "batchnorm": lambda: nn.BatchNorm2d(config.channels),
         "dropout": lambda: nn.Dropout(config.dropout)}[config.regularization](),
    ]  # fmt: skip


def _convolution(kernel: tuple[int, int], channels: int) -> nn.Module:
    if 1 in kernel:
        return LineConvolution(channels, max(kernel), 2 if kernel[1] == 1 else 3)
    return nn.Conv2d(channels, channels, kernel, padding="same")


def dct_matrix(count: int) -> Float[Tensor, "N N"]:
    """The orthonormal discrete cosine transform (type II) of N numbers; its transpose is its inverse."""
    row, column = torch.arange(count, dtype=torch.float64)[:, None], torch.arange(count, dtype=torch.float64)
    matrix = math.sqrt(2 / count) * torch.cos(math.pi * (column + 0.5) * row / count)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
