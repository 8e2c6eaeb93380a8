"""Pictures to compare."""

import torch


def texture(seed: int = 0) -> torch.Tensor:
    """A smooth random picture, 96x80, with values from about 0.1 to 0.6."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 12, 10, generator=generator)
    return 0.1 + 0.5 * torch.nn.functional.interpolate(coarse, (96, 80), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)


EVERYWHERE = torch.ones(96, 80, dtype=torch.bool)
