"""Splats of a picture laid over each other from front to back, with gradients."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
import warp as wp
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from nerfstudio_hands.geometry.kernels.splats import composite_backward_kernel, composite_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.splats.gsplat_backend import gsplat_composite
from nerfstudio_hands.geometry.splats.projection import ProjectedSplats
from nerfstudio_hands.geometry.splats.tiles import TileLists, tile_lists

Rasterizer = Literal["warp", "gsplat"]
"""What lays splats over each other: the kernels of `geometry/kernels/splats.py`, everywhere, or gsplat's, on CUDA."""

GROUP = 4
"""Features that kernels handle at once."""

TILES_AT_ONCE = 64
"""Tiles in one launch on a CPU: not all of a thread's, because some are full and most empty."""


def composite(
    projected: ProjectedSplats,
    features: Float[Tensor, "N C"],
    width: int,
    height: int,
    *,
    rasterizer: Rasterizer = "warp",
) -> tuple[Float[Tensor, "H W C"], Float[Tensor, "H W 1"]]:
    """Lays splats over black.

    Args:
        projected: Splats in the picture.
        features: Of each: colors, or whatever a picture is wanted of.
        width: Pixels.
        height: Pixels.
        rasterizer: `gsplat` draws nearly the same, see `gsplat_backend.gsplat_composite`.

    Returns:
        Features of each pixel, weighted by how much of it each splat covers, and how much all of them cover;
        differentiable in all but the order of the splats.

    Raises:
        HandsError: gsplat is asked for and cannot be used, see `gsplat_backend.require_gsplat`.
    """
    if rasterizer == "gsplat":
        return gsplat_composite(projected, features, width, height)
    lists = tile_lists(projected, width, height)
    image, light = _Composite.apply(
        projected.means, projected.conics, projected.opacities, features, lists, width, height
    )
    return image, 1 - light[..., None]


class _Composite(torch.autograd.Function):
    """The kernels of `geometry/kernels/splats.py`; gradients of entries are added up here, in one order."""

    @staticmethod
    def forward(
        context: Any,
        means: Float[Tensor, "N 2"],
        conics: Float[Tensor, "N 3"],
        opacities: Float[Tensor, " N"],
        features: Float[Tensor, "N C"],
        lists: TileLists,
        width: int,
        height: int,
    ) -> tuple[Float[Tensor, "H W C"], Float[Tensor, "H W"]]:
        padded = F.pad(features.detach(), (0, -features.shape[1] % GROUP))
        given = [contiguous_float32(tensor) for tensor in (means, conics, opacities, padded)]
        image = given[-1].new_zeros(height, width, padded.shape[1])
        light = image.new_ones(height, width)
        launch(
            composite_kernel,
            len(lists.starts) - 1,
            [*_inputs(lists, given), _groups(image), as_array(light, wp.float32)],
            chunk=TILES_AT_ONCE,
        )
        context.save_for_backward(*given, image, light)
        context.lists, context.num_features = lists, features.shape[1]
        return image[..., : features.shape[1]], light

    @staticmethod
    @once_differentiable
    def backward(context: Any, of_image: Tensor, of_light: Tensor):
        *given, image, light = context.saved_tensors
        lists, count = context.lists, len(context.lists.splats)
        of_image = contiguous_float32(F.pad(of_image, (0, image.shape[-1] - of_image.shape[-1])))
        of_coverage = contiguous_float32(-of_light)
        behind = (image * of_image).sum(dim=-1) + (1 - light) * of_coverage
        found = [tensor.new_zeros(count, *tensor.shape[1:]) for tensor in given]
        launch(
            composite_backward_kernel,
            len(lists.starts) - 1,
            [
                *_inputs(lists, given),
                _groups(of_image),
                *(as_array(t, wp.float32) for t in (of_coverage, behind, torch.ones_like(light))),
                as_array(found[0], wp.vec2),
                as_array(found[1], wp.vec3),
                as_array(found[2], wp.float32),
                _groups(found[3]),
            ],
            chunk=TILES_AT_ONCE,
        )
        sums = [torch.zeros_like(t).index_add_(0, lists.splats, f) for t, f in zip(given, found, strict=True)]
        return (*sums[:3], sums[3][:, : context.num_features], None, None, None)


def _groups(features: Float[Tensor, "*batch C"]) -> wp.array:
    """The last axis in groups, as kernels take it."""
    return as_array(features.unflatten(-1, (-1, GROUP)), wp.vec4)


def _inputs(lists: TileLists, given: list[Tensor]) -> list[Any]:
    means, conics, opacities, features = given
    return [
        lists.size,
        as_array(lists.starts, wp.int64),
        as_array(lists.splats, wp.int32),
        as_array(means, wp.vec2),
        as_array(conics, wp.vec3),
        as_array(opacities, wp.float32),
        _groups(features),
    ]
