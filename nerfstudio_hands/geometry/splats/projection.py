"""Gaussians in space as a pinhole camera sees them: ellipses in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.geometry.kernels.surface_splats import FILTER, MIN_DEPTH, REACH
from nerfstudio_hands.geometry.raster.pinhole import pinhole_transform


@dataclass
class Splats:
    """N Gaussians in space.

    Attributes:
        means: Their middles, world metres.
        axes: Three half axes a row each, one standard deviation long, not necessarily at right angles: the covariance
            is the sum of their outer squares; world metres.
        opacities: In their middles, in [0, 1].
    """

    means: Float[Tensor, "N 3"]
    axes: Float[Tensor, "N 3 3"]
    opacities: Float[Tensor, " N"]


@dataclass
class ProjectedSplats:
    """The same in a picture, whose pixels have their centers at whole numbers.

    Attributes:
        means: Column and row.
        conics: Inverse covariance, 1 / pixels squared: entries xx, xy, yy.
        opacities: In their middles; zero where a splat is behind the camera or far aside.
        depths: Along the camera's axis, metres.
    """

    means: Float[Tensor, "N 2"]
    conics: Float[Tensor, "N 3"]
    opacities: Float[Tensor, " N"]
    depths: Float[Tensor, " N"]


def project_splats(
    splats: Splats, origins: Float[Tensor, "H W 3"], directions: Float[Tensor, "H W 3"]
) -> ProjectedSplats:
    """Projects by the slope of the perspective in each middle, and blurs by a pixel's area.

    What the filter widens it makes fainter, so that a splat smaller than a pixel weighs as much as it covers
    (Mip-Splatting, equation 10): what gsplat calls `antialiased`, which has a variance of 0.3 by default in place of
    this one. Of splats beside the picture, gsplat takes the slope 0.15 pictures beyond the edge.

    Args:
        splats: Gaussians; gradients reach them.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, affine in column and row; gradients reach the camera.

    Raises:
        HandsError: The directions are not affine in column and row.
    """
    height, width = directions.shape[:2]
    to_image = pinhole_transform(directions).to(splats.means.dtype).T
    across, down, depth = ((splats.means - origins[0, 0]) @ to_image).unbind(1)
    axes = splats.axes @ to_image
    in_front = depth > MIN_DEPTH
    near = 1 / torch.where(in_front, depth, torch.ones_like(depth))
    column, row = across * near, down * near
    # Beyond, the slope is that of another place (Zwicker et al., "EWA volume splatting", 2001).
    seen = in_front & ((column / width - 0.5).abs() < REACH) & ((row / height - 0.5).abs() < REACH)
    slopes = [(axes[..., k] - axes[..., 2] * at[:, None]) * near[:, None] for k, at in enumerate((column, row))]
    xx, xy, yy = ((slopes[i] * slopes[j]).sum(dim=1) for i, j in ((0, 0), (0, 1), (1, 1)))
    sharp = xx * yy - xy * xy
    xx, yy = xx + FILTER, yy + FILTER
    blurred = xx * yy - xy * xy
    opacities = splats.opacities * (sharp / blurred).clamp(min=1e-8).sqrt()
    return ProjectedSplats(
        means=torch.stack([column, row], dim=1),
        conics=torch.stack([yy, -xy, xx], dim=1) / blurred[:, None],
        opacities=torch.where(seen, opacities, torch.zeros_like(opacities)),
        depths=depth,
    )
