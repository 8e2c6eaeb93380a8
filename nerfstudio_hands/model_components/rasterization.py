"""What rays of an image, or single ones, meet of posed hands."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from nerfstudio_hands.geometry.raster.antialias import antialias
from nerfstudio_hands.geometry.raster.rasterize import rasterize_rays
from nerfstudio_hands.geometry.raster.visibility import Raster
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces


def rasterize_hands(rays: RayBundle, posed: PosedSurfaces) -> tuple[Raster, Int[Tensor, "*R"]]:
    """What rays [R], or the pinhole rays of an image [H, W], meet, and which surface each was cast at."""
    ray_surface = posed.ray_surface.view(rays.shape)
    if rays.ndim == 2:
        return rasterize_rays(posed.surfaces, *pinhole_rays(rays), surface=posed.first_surface()), ray_surface
    hits = posed.surfaces.cast(rays.origins, rays.directions, posed.ray_surface)
    return Raster(hits.face, hits.barycentric, hits.depth, hits.depth), ray_surface


def antialias_layers(
    layers: list[Float[Tensor, "*R C"]], raster: Raster, rays: RayBundle, posed: PosedSurfaces
) -> list[Float[Tensor, "*R C"]]:
    """Layers of an image with smooth silhouettes; those of single rays stay as they are.

    Args:
        layers: values of the pixels, zero where nothing is met.
        raster: what was met.
        rays: by what.
        posed: the posed surfaces.
    """
    if rays.ndim != 2:
        return layers
    shown = (raster, posed.surfaces, *pinhole_rays(rays))
    smooth = antialias(torch.cat(layers, dim=-1), *shown, surface=posed.first_surface())
    return list(smooth.split([layer.shape[-1] for layer in layers], dim=-1))


def image_rays(camera: Cameras) -> RayBundle:
    """The rays [H, W] of a camera's picture.

    Those of a pinhole camera are made here: nerfstudio's generator, which knows all kinds of cameras, takes longer on a
    processor than drawing the picture.

    Args:
        camera: One camera.
    """
    bent = camera.distortion_params is not None and bool(camera.distortion_params.any())
    if bent or bool((camera.camera_type != CameraType.PERSPECTIVE.value).any()):
        return camera.generate_rays(camera_indices=0, keep_shape=True)
    flat = camera.flatten()
    height, width = int(flat.height), int(flat.width)
    turn, origin = flat.camera_to_worlds[0].split([3, 1], dim=1)
    column = (torch.arange(width, device=turn.device) + 0.5 - flat.cx[0]) / flat.fx[0]
    row = (torch.arange(height, device=turn.device) + 0.5 - flat.cy[0]) / flat.fy[0]
    right, up, back = turn.unbind(1)
    directions = (column[:, None] * right - back) - row[:, None, None] * up
    norm = (1 + column[:, None].square() + row[:, None, None].square()).sqrt()

    def spread(values: Tensor) -> Tensor:
        return values.reshape(1, 1, -1).expand(height, width, -1)

    return RayBundle(
        origins=spread(origin),
        directions=directions / norm,
        pixel_area=1 / (norm * norm * norm * (flat.fx * flat.fy)),
        camera_indices=spread(torch.zeros(1, dtype=torch.long, device=turn.device)),
        times=None if flat.times is None else spread(flat.times),
        metadata={"directions_norm": norm, **{name: spread(value) for name, value in (flat.metadata or {}).items()}},
    )


def pinhole_rays(rays: RayBundle) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]]:
    """Origins, and directions of depth one along the camera's axis."""
    return rays.origins, rays.directions * rays.metadata["directions_norm"]
