"""Features of the pictures of a clip that have looked at each other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

TOKENS = 8
"""Places of a picture along each side at which it is compared with the others of its clip."""

HEADS = 4


class ClipTransformer(nn.Module):
    """Attention within pictures, then between the pictures of a clip at each place (gSDF, section 3.4).

    There, nothing says which picture comes first; in an ordered one each is told how long before the last it was
    taken. What is learned is added to the features as they are.

    Args:
        width: Channels.
        depth: Layers of each of the two.
        ordered: Whether the order of the pictures counts.
    """

    def __init__(self, width: int, depth: int, *, ordered: bool) -> None:
        super().__init__()
        self.ordered = ordered
        self.position = nn.Parameter(torch.zeros(1, TOKENS**2, width))
        self.within, self.between = (_transformer(width, depth) for _ in range(2))
        self.out = nn.Linear(width, width)
        nn.init.normal_(self.position, std=0.02)
        # A clip begins as its pictures alone.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, maps: Float[Tensor, "B C h w"], clip: int) -> Float[Tensor, "B C h w"]:
        """Args:
        maps: Of pictures, those of a clip one after the other.
        clip: Pictures of a clip.
        """
        small = functional.adaptive_avg_pool2d(maps, TOKENS)
        tokens = self.within(small.flatten(2).mT + self.position)
        of_clips = tokens.unflatten(0, (-1, clip)).transpose(1, 2)  # clips, places, pictures, channels
        if self.ordered:
            of_clips = of_clips + _ages(clip, maps.shape[1]).to(maps)
        mixed = self.between(of_clips.flatten(0, 1)).view(of_clips.shape).transpose(1, 2).flatten(0, 1)
        change = self.out(mixed).mT.unflatten(2, (TOKENS, TOKENS))
        return maps + functional.interpolate(change, maps.shape[2:], mode="bilinear", align_corners=False)


def _transformer(width: int, depth: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)


def _ages(clip: int, width: int) -> Float[Tensor, "T C"]:
    """Waves of how many pictures before the last each is (Vaswani et al., "Attention is all you need", 2017)."""
    age = torch.arange(clip - 1, -1, -1, dtype=torch.float32)[:, None]
    rate = torch.exp(-math.log(1000.0) * torch.arange(0, width, 2) / width)
    return torch.stack([(age * rate).sin(), (age * rate).cos()], -1).flatten(1)[:, :width]
