"""The one function that draws splats, whatever works for it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.geometry.splats.compositing import Rasterizer, composite
from nerfstudio_hands.geometry.splats.projection import Splats, project_splats


def draw_splats(
    splats: Splats,
    features: Float[Tensor, "N C"],
    origins: Float[Tensor, "H W 3"],
    directions: Float[Tensor, "H W 3"],
    *,
    rasterizer: Rasterizer = "warp",
) -> tuple[Float[Tensor, "H W C"], Float[Tensor, "H W 1"]]:
    """What the pinhole rays of a picture, or of a rectangle cut out of one, see of splats over black.

    Args:
        splats: Gaussians, world metres.
        features: Of each: colors, or whatever a picture is wanted of.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, hence affine in column and row.
        rasterizer: What draws, see `composite`.

    Returns:
        Features of each pixel, weighted by how much of it each splat covers, and how much all of them cover; gradients
        reach splats, features and the camera.

    Raises:
        HandsError: The directions are not affine in column and row, or gsplat is asked for and cannot be used.
    """
    height, width = directions.shape[:2]
    projected = project_splats(splats, origins, directions)
    return composite(projected, features, width, height, rasterizer=rasterizer)
