"""Splats laid over each other by gsplat (Ye et al., "gsplat: an open-source library for Gaussian splatting", 2024).

The library comes with nerfstudio. Its kernels need CUDA, and a compiler for it where they are used for the first time;
nothing else here does. Which ellipses splats are in a picture is found here, as for the kernels of Warp.
"""

from __future__ import annotations

from subprocess import SubprocessError
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.kernels.splats import CUT_OFF
from nerfstudio_hands.geometry.splats.projection import ProjectedSplats

VERSION = "1.4.0"
"""The one whose functions are called here, which nerfstudio 1.1.5 asks for; in 1.5 radii are pairs."""

TILE = 16
"""Pixels along a tile's side, as gsplat has it by default."""

REMEDY = "or draw with --pipeline.model.rasterizer warp (a run: `rasterizer: warp` in its config.yml)."


def gsplat_composite(
    projected: ProjectedSplats, features: Float[Tensor, "N C"], width: int, height: int
) -> tuple[Float[Tensor, "H W C"], Float[Tensor, "H W 1"]]:
    """Lays splats over black, see `compositing.composite`.

    The rules are those of Kerbl et al. 2023 there as here, but for two. A splat covers at most 0.999 of a pixel, here
    0.99: a pixel changes by 0.01 at most. And a pixel is done before the splat that would leave it less light than
    1e-4, here behind it: where no splat covers more than a of it, it lacks 1e-4 / (1 - a) at most, hence 0.1.

    Args:
        projected: Splats in the picture, on a CUDA device.
        features: Of each, 1 to 513.
        width: Pixels.
        height: Pixels.

    Returns:
        Features of each pixel, weighted by how much of it each splat covers, and how much all of them cover, float32;
        differentiable in all but the order of the splats.

    Raises:
        HandsError: See `require_gsplat`.
    """
    library = require_gsplat(projected.means.device)
    columns, rows = -(-width // TILE), -(-height // TILE)
    # gsplat draws several pictures at once, and has the centers of pixels at halves.
    means, conics, opacities, depths, features = (
        values.float()[None]
        for values in (projected.means + 0.5, projected.conics, projected.opacities, projected.depths, features)
    )
    _, keys, splats = library.isect_tiles(means, _radii(projected)[None], depths, TILE, columns, rows)
    starts = library.isect_offset_encode(keys, 1, columns, rows)
    image, coverage = library.rasterize_to_pixels(
        means, conics, features, opacities, width, height, TILE, starts, splats
    )
    return image[0], coverage[0]


@torch.no_grad()
def _radii(projected: ProjectedSplats) -> Int[Tensor, " N"]:
    """Whole pixels from its middle beyond which a splat is cut off, zero where it is everywhere."""
    xx, xy, yy = projected.conics.unbind(1)
    square = 2 * (projected.opacities / CUT_OFF).log() * torch.maximum(xx, yy) / (xx * yy - xy * xy)
    return torch.where(square > 0, square.sqrt().ceil(), torch.zeros_like(square)).int()


def require_gsplat(device: torch.device) -> Any:
    """The library, compiled where it has not been yet, which takes minutes.

    Raises:
        HandsError: The device is another than CUDA, or gsplat is not installed, is of another version, or cannot be
            compiled.
    """
    if device.type != "cuda":
        raise HandsError(f"rasterizer gsplat: expected a CUDA device, found {device}: use one, {REMEDY}")
    install = f"install it by `pip install gsplat=={VERSION}`, {REMEDY}"
    try:
        import gsplat
    except ImportError as error:
        raise HandsError(f"rasterizer gsplat: expected gsplat {VERSION}, found '{error}': {install}") from error
    version = str(getattr(gsplat, "__version__", "none"))
    # Compiled wheels say after a plus sign for which torch and CUDA they are.
    if version.partition("+")[0] != VERSION:
        raise HandsError(f"rasterizer gsplat: expected gsplat {VERSION}, found version {version}: {install}")
    compiler = f"install a CUDA toolkit of the version that torch is built for, with nvcc on the PATH, {REMEDY}"
    try:
        from gsplat.cuda._backend import _C as kernels  # pyright: ignore[reportAttributeAccessIssue]
    except (ImportError, OSError, RuntimeError, SubprocessError) as error:
        # The compiler's output may follow.
        reason = str(error).partition("\n")[0]
        raise HandsError(
            f"rasterizer gsplat: expected gsplat to compile its CUDA kernels, found '{reason}': {compiler}"
        ) from error
    if kernels is None:
        raise HandsError(f"rasterizer gsplat: expected gsplat to compile its CUDA kernels, found no nvcc: {compiler}")
    return gsplat
