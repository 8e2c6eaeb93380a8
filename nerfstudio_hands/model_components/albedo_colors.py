"""The color that a learned texture gives to points of a surface."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.model_components.export_source import ColorFn
from nerfstudio_hands.transforms.color import linear_to_srgb


def albedo_colors(albedo: Float[Tensor, "S S 3"], uv: Float[Tensor, "F 3 2"], *, linear: bool) -> ColorFn:
    """Colors of a surface: the albedo as image files hold it, between its texels by bilinear interpolation.

    Args:
        albedo: In [0, 1], the first row at v = 1.
        uv: Texture coordinates of the faces' corners, v upwards.
        linear: The albedo is linear and is encoded as sRGB; otherwise it was learned from pictures as they are encoded
            and is left as it is.
    """
    image = (linear_to_srgb(albedo) if linear else albedo).permute(2, 0, 1)[None]
    # Encoded before and not after the interpolation, since that is what a viewer of the file will see between texels.

    @torch.no_grad()
    def color(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        uv_there = blend_corners(uv[face], barycentric)
        grid = (2 * uv_there - 1) * uv_there.new_tensor([1.0, -1.0])
        found = torch.nn.functional.grid_sample(
            image, grid[None, None].to(image), mode="bilinear", padding_mode="border", align_corners=False
        )
        return found[0, :, 0].T

    return color
