"""Visibility by nvdiffrast (Laine et al., "Modular primitives for high-performance differentiable rendering", 2020).

The library is optional, not on the package index (https://github.com/NVlabs/nvdiffrast) and needs CUDA; nothing else
here does. Only which face a pixel sees is taken from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError

TILE = 8
"""Pixels, of which a side has a multiple: earlier versions of nvdiffrast draw no other pictures."""

MAX_SIDE = 2048
"""Pixels along a side that versions from before September 2024 draw at most."""

MARGIN = 1.01
"""Near and far plane leave this factor before the nearest and behind the farthest vertex."""


def nvdiffrast_faces(
    pixels: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], height: int, width: int
) -> Int[Tensor, "H W"]:
    """Face that each pixel sees first, either side of it.

    Args:
        pixels: Column and row of each vertex, centers at whole numbers, and one over its depth, which is positive.
        faces: Vertex indices.
        height: Pixels.
        width: Pixels.

    Returns:
        Face index, int64; -1 where there is none.

    Raises:
        HandsError: if nvdiffrast is not installed, the tensors are not on a CUDA device, or a side is too long.
    """
    if max(height, width) > MAX_SIDE:
        raise HandsError(
            f"backend nvdiffrast: expected at most {MAX_SIDE} pixels along a side, found {width}x{height}; "
            "draw a smaller picture or choose no backend"
        )
    depth = 1 / pixels[:, 2]
    near, far = depth.amin() / MARGIN, depth.amax() * MARGIN
    # OpenGL's clip space; nvdiffrast's first row is the one at y = -1, so rows need no turning round.
    # What is drawn beyond the last column and row is cut off.
    wide, high = (-(-side // TILE) * TILE for side in (width, height))
    across, down = (2 * pixels[:, :2] + 1 - pixels.new_tensor([wide, high])).unbind(1)
    clip_depth = ((far + near) * depth - 2 * far * near) / (far - near)
    clip = torch.stack([across / wide * depth, down / high * depth, clip_depth, depth], dim=1)
    library, context = _context(pixels.device)
    drawn, _ = library.rasterize(
        context, clip.float()[None].contiguous(), faces.to(torch.int32).contiguous(), (high, wide), grad_db=False
    )
    # The last channel is the index plus one, zero for none, as a float, exact up to 2^24 faces.
    return drawn[0, :height, :width, 3].long() - 1


@lru_cache(maxsize=8)
def _context(device: torch.device) -> tuple[Any, Any]:
    if device.type != "cuda":
        raise HandsError(
            f"backend nvdiffrast: expected tensors on a CUDA device, found {device}; leave the backend out"
        )
    try:
        import nvdiffrast.torch as library  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise HandsError(
            f"backend nvdiffrast: expected the library to be installed, found '{error}'; install it from "
            "https://github.com/NVlabs/nvdiffrast or choose no backend"
        ) from error
    return library, library.RasterizeCudaContext(device=device)
