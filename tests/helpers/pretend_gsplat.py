"""What gsplat 1.4 compiles for CUDA, in torch: its Python functions then run as they are, with all that they assert.

Tiles are dealt out by gsplat's own reference in torch. How they are drawn is written down here by the comments and
shapes of its kernels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gsplat.cuda._torch_impl import _isect_offset_encode, _isect_tiles
from torch import Tensor

CUT_OFF, MOST_OPAQUE, LEAST_LIGHT = 1 / 255, 0.999, 1e-4


def pretend_gsplat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the functions below where gsplat looks for what it has compiled."""
    kernels = SimpleNamespace(
        isect_tiles=_deal_out,
        isect_offset_encode=_isect_offset_encode,
        rasterize_to_pixels_fwd=_draw,
        rasterize_to_pixels_bwd=_draw_backward,
    )
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", SimpleNamespace(_C=kernels))


def _deal_out(means: Tensor, radii: Tensor, depths: Tensor, *more: Any) -> tuple[Tensor, Tensor, Tensor]:
    cameras, splats, _, *tiles, sort, _ = more
    assert cameras is splats is None
    # The reference makes the bits of each depth in Python.
    return _isect_tiles(means, radii, depths, *tiles, sort)


def _tiles(width: int, height: int, size: int, starts: Tensor, splats: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and splats of each tile."""
    edges = [*starts.flatten().tolist(), len(splats)]
    for tile in range(starts.numel()):
        top, left = (size * int(at) for at in divmod(tile, starts.shape[2]))
        mine = splats[edges[tile] : edges[tile + 1]].long()
        yield slice(top, min(top + size, height)), slice(left, min(left + size, width)), mine


def _draw(means, conics, colors, opacities, backgrounds, masks, width, height, size, starts, splats):
    """Pictures, coverage, and the last splat of each pixel, of which nothing is made here."""
    assert backgrounds is masks is None and starts.shape[0] == means.shape[0] == 1
    assert splats.dtype == starts.dtype == torch.int32
    assert all(values.dtype == torch.float32 for values in (means, conics, colors, opacities))
    image, coverage = means.new_zeros(1, height, width, colors.shape[-1]), means.new_zeros(1, height, width, 1)
    for rows, columns, mine in _tiles(width, height, size, starts, splats):
        if not len(mine):
            continue
        across = torch.arange(columns.start, columns.stop, device=means.device) + 0.5
        down = torch.arange(rows.start, rows.stop, device=means.device) + 0.5
        dx, dy = means[0, mine, 0] - across[None, :, None], means[0, mine, 1] - down[:, None, None]
        xx, xy, yy = conics[0, mine].unbind(-1)
        sigma = 0.5 * (xx * dx * dx + yy * dy * dy) + xy * dx * dy
        alpha = (opacities[0, mine] * (-sigma).exp()).clamp(max=MOST_OPAQUE)
        alpha = torch.where(alpha < CUT_OFF, torch.zeros_like(alpha), alpha)
        # The splat that would leave too little is not drawn, nor what is behind it.
        alpha = torch.where((1 - alpha).cumprod(-1) > LEAST_LIGHT, alpha, torch.zeros_like(alpha))
        through = (1 - alpha).cumprod(-1)
        before = torch.cat([torch.ones_like(through[..., :1]), through[..., :-1]], dim=-1)
        image[0, rows, columns] = (alpha * before) @ colors[0, mine]
        coverage[0, rows, columns] = 1 - through[..., -1:]
    return image, coverage, splats.new_zeros(1, height, width)


def _draw_backward(means, conics, colors, opacities, *more: Any):
    *given, _, _, of_image, of_coverage, _ = more
    if not len(given[-1]):
        return (None, *(torch.zeros_like(values) for values in (means, conics, colors, opacities)))
    leaves = [values.detach().requires_grad_() for values in (means, conics, colors, opacities)]
    with torch.enable_grad():
        image, coverage, _ = _draw(*leaves, *given)
        loss = (image * of_image).sum() + (coverage * of_coverage).sum()
    return (None, *torch.autograd.grad(loss, leaves))
