"""What rays of an image, or single ones, meet of posed hands."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, pixels; `bottom` and `right` lie beyond it."""

    top: int
    bottom: int
    left: int
    right: int

    def framed(
        self, values: Float[Tensor, "h w C"], width: int, height: int, around: float | Float[Tensor, "1"]
    ) -> Float[Tensor, "H W C"]:
        """The picture whose rectangle holds these values, and whose other pixels that one."""
        whole = values.new_empty(height, width, values.shape[-1])
        whole[:] = around
        whole[self.top : self.bottom, self.left : self.right] = values
        return whole


LEAST_SIDE = 4
"""Pixels of a side of a window: of fewer rays nobody can tell the camera."""


def window_round(points: Float[Tensor, "N 3"], reach: float, camera: Cameras) -> Window:
    """The rectangle of a pinhole camera's picture beyond which nothing is seen that lies so near to points; all of the
    picture where the camera stands among them.

    Args:
        points: World, meters; those that are not finite do not count.
        reach: Meters.
        camera: One camera.
    """
    points = points[points.isfinite().all(dim=-1)]
    flat = camera.flatten()
    width, height = int(flat.width), int(flat.height)
    turn, origin = flat.camera_to_worlds[0].split([3, 1], dim=1)
    # A camera of nerfstudio's looks along its negative z, and its y is up.
    aside, up, back = ((points - origin[:, 0]) @ turn).unbind(1)
    near = -back - reach
    if not len(points) or bool((near <= 0).any()):
        return Window(0, height, 0, width)
    # With x aside and z away, nothing that lies so near to a point is seen beyond (x + reach) / (z - reach).
    column, row = flat.fx[0] * aside / -back, flat.fy[0] * -up / -back
    slack = reach / near
    spans = []
    for at, focal, middle, size in (
        (column, flat.fx[0], flat.cx[0], width),
        (row, flat.fy[0], flat.cy[0], height),
    ):
        wide = slack * (focal + at.abs()) + 2
        low, high = int(((at - wide).min() + middle).floor()), int(((at + wide).max() + middle).ceil())
        low = min(max(low, 0), max(size - LEAST_SIDE, 0))
        spans += [low, min(max(high, low + LEAST_SIDE), size)]
    return Window(*spans[2:], *spans[:2])


def bends(camera: Cameras) -> bool:
    """Whether a camera is no pinhole."""
    distorts = camera.distortion_params is not None and bool(camera.distortion_params.any())
    return distorts or bool((camera.camera_type != CameraType.PERSPECTIVE.value).any())


def image_rays(camera: Cameras, window: Window | None = None) -> RayBundle:
    """The rays [H, W] of a camera's picture, or of a rectangle of it.

    Those of a pinhole camera are made here: nerfstudio's generator, which knows all kinds of cameras, takes longer on a
    processor than drawing the picture.

    Args:
        camera: One camera.
        window: Only its rays are made.
    """
    if bends(camera):
        rays = camera.generate_rays(camera_indices=0, keep_shape=True)
        return rays if window is None else rays[window.top : window.bottom, window.left : window.right]
    flat = camera.flatten()
    window = window or Window(0, int(flat.height), 0, int(flat.width))
    height, width = window.bottom - window.top, window.right - window.left
    turn, origin = flat.camera_to_worlds[0].split([3, 1], dim=1)
    column = (torch.arange(window.left, window.right, device=turn.device) + 0.5 - flat.cx[0]) / flat.fx[0]
    row = (torch.arange(window.top, window.bottom, device=turn.device) + 0.5 - flat.cy[0]) / flat.fy[0]
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
