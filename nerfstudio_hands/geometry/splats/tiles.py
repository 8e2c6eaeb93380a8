"""Which splats each tile of a picture shows, from front to back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from jaxtyping import Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.splats import count_tiles_kernel, list_tiles_kernel
from nerfstudio_hands.geometry.launch import as_array, launch, torch_stream
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.splats.projection import ProjectedSplats

TILE = {"cpu": 16, "cuda": 4}
"""Pixels along a tile's side: one thread draws a tile, of which a processor has few and a GPU thousands."""


@dataclass
class TileLists:
    """Splats of each tile.

    Attributes:
        size: Pixels along a tile's side.
        starts: Where each tile's entries begin, and where the last one's end; tiles run row by row.
        splats: The splat of each entry, within a tile from front to back.
    """

    size: int
    starts: Int[Tensor, " T+1"]
    splats: Int[Tensor, " E"]


@torch.no_grad()
def tile_lists(projected: ProjectedSplats, width: int, height: int) -> TileLists:
    """Deals splats out to the tiles that they touch.

    Args:
        projected: Splats in the picture.
        width: Pixels.
        height: Pixels.
    """
    device, size = projected.means.device, TILE[projected.means.device.type]
    count = len(projected.depths)
    num_tiles = -(-width // size) * -(-height // size)
    order = _sorted(contiguous_float32(projected.depths), torch.arange(count, dtype=torch.int32, device=device))[1]
    what = [
        as_array(order, wp.int32),
        as_array(contiguous_float32(projected.means), wp.vec2),
        as_array(contiguous_float32(projected.conics), wp.vec3),
        as_array(contiguous_float32(projected.opacities), wp.float32),
        width,
        height,
        size,
    ]
    counts = torch.empty(count, dtype=torch.int64, device=device)
    launch(count_tiles_kernel, count, [*what, as_array(counts, wp.int64)])
    ends = counts.cumsum(0)
    num_entries = int(ends[-1]) if count else 0
    tiles = torch.empty(num_entries, dtype=torch.int32, device=device)
    splats = torch.empty_like(tiles)
    out = [as_array(ends, wp.int64), as_array(tiles, wp.int32), as_array(splats, wp.int32)]
    launch(list_tiles_kernel, count, [*what, *out])
    # The sort keeps the order of what is alike: within a tile, that of the depths.
    tiles, splats = _sorted(tiles, splats)
    numbers = torch.arange(num_tiles + 1, dtype=torch.int32, device=device)
    return TileLists(size, torch.searchsorted(tiles, numbers), splats)


def _sorted(keys: Tensor, values: Int[Tensor, " N"]) -> tuple[Tensor, Int[Tensor, " N"]]:
    """Keys, float32 or int32, in rising order, and the values that belong to them; what is alike keeps its order."""
    # A radix sort, several times as fast as torch's own; Warp wants room for as many again.
    pairs = [torch.cat([tensor, torch.empty_like(tensor)]) for tensor in (keys, values)]
    kind = wp.float32 if keys.dtype == torch.float32 else wp.int32
    with torch_stream(keys.device):
        wp.utils.radix_sort_pairs(as_array(pairs[0], kind), as_array(pairs[1], wp.int32), len(keys))
    return pairs[0][: len(keys)], pairs[1][: len(keys)]
