"""Which face each pixel of a pinhole camera sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.surface_query import Surfaces


@dataclass
class Raster:
    """What a camera sees of a surface, one entry a pixel."""

    face: Int[Tensor, "H W"]
    """Face index, int64, closing faces included; -1 where the ray misses."""
    barycentric: Float[Tensor, "H W 3"]
    """Weights of the three corners of the face; zero where the ray misses."""
    z_depth: Float[Tensor, "H W"]
    """Distance along the camera's forward axis, metres; infinite where the ray misses."""
    ray_depth: Float[Tensor, "H W"]
    """Distance along the unit ray, metres; infinite where the ray misses."""


def pixel_rays(
    intrinsics: Float[Tensor, "3 3"], world_to_camera: Float[Tensor, "4 4"], width: int, height: int
) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]]:
    """World rays through the pixel centres, which lie at +0.5.

    Args:
        intrinsics: Pinhole matrix in pixels.
        world_to_camera: Rigid transform, metres, to OpenCV axes (x right, y down, z forward).
        width: Pixels.
        height: Pixels.

    Returns:
        Origins, and directions of z-depth one (not of unit length).
    """
    options = {"dtype": world_to_camera.dtype, "device": world_to_camera.device}
    y, x = torch.meshgrid(torch.arange(height, **options) + 0.5, torch.arange(width, **options) + 0.5, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    directions = pixels @ torch.linalg.inv(intrinsics.to(**options)).T @ rotation
    return (-translation @ rotation).expand(height, width, 3), directions


def rasterize(
    surfaces: Surfaces,
    intrinsics: Float[Tensor, "3 3"],
    world_to_camera: Float[Tensor, "4 4"],
    width: int,
    height: int,
    *,
    surface: int = 0,
) -> Raster:
    """Cast a ray through every pixel centre that the bounding box of the surface can cover.

    Args:
        surfaces: Where to cast; vertices in world metres.
        intrinsics: Pinhole matrix in pixels.
        world_to_camera: Rigid transform, metres, to OpenCV axes (x right, y down, z forward).
        width: Pixels.
        height: Pixels.
        surface: Which of the surfaces.

    Returns:
        Faces, barycentric coordinates and depths; differentiable in the vertices and the camera where these are.
    """
    origins, directions = pixel_rays(intrinsics, world_to_camera, width, height)
    dtype = torch.promote_types(origins.dtype, surfaces.vertices.dtype)
    rows, columns = _covered(surfaces.vertices[surface].detach(), intrinsics, world_to_camera, width, height)
    block = directions[rows, columns]
    face = torch.full((height, width), -1, dtype=torch.int64, device=directions.device)
    barycentric = directions.new_zeros(height, width, 3, dtype=dtype)
    z_depth = directions.new_full((height, width), torch.inf, dtype=dtype)
    if block.numel() > 0:
        toward = block.reshape(-1, 3)
        chosen = torch.full((len(toward),), surface, dtype=torch.int64, device=toward.device)
        hits = surfaces.cast(origins[rows, columns].reshape(-1, 3), toward, chosen)
        shape = block.shape[:2]
        face[rows, columns] = hits.face.reshape(shape)
        barycentric[rows, columns] = hits.barycentric.reshape(*shape, 3).to(dtype)
        z_depth[rows, columns] = hits.depth.reshape(shape).to(dtype)
    return Raster(face, barycentric, z_depth, z_depth * directions.norm(dim=-1))


def _covered(
    vertices: Tensor, intrinsics: Tensor, world_to_camera: Tensor, width: int, height: int
) -> tuple[slice, slice]:
    """Rows and columns of pixels that the projected vertices span; all of them if the camera is among the vertices."""
    matrix = world_to_camera.detach().to(vertices)
    camera = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    if bool((camera[:, 2] <= 1e-3).any()):
        return slice(0, height), slice(0, width)
    pixels = camera @ intrinsics.detach().to(vertices).T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low, high = pixels.amin(0).floor().tolist(), pixels.amax(0).ceil().tolist()

    def span(start: float, end: float, size: int) -> slice:
        return slice(int(min(max(start, 0), size)), int(min(max(end, 0), size)))

    return span(low[1], high[1], height), span(low[0], high[0], width)
