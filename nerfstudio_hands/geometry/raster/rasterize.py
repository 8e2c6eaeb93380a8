"""What the pixels of a pinhole camera see of a surface, with gradients."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.geometry.barycentric import plane_barycentric
from nerfstudio_hands.geometry.query.recompute import needs_recompute
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.nvdiffrast_backend import nvdiffrast_faces
from nerfstudio_hands.geometry.raster.visibility import (
    Raster,
    cast_pixels,
    covered_pixels,
    project_vertices,
    scan_faces,
)
from nerfstudio_hands.transforms.projection import pixel_rays

Backend = Literal["scan", "cast", "nvdiffrast"]
"""How visibility is found: faces are drawn one after the other (CPU), rays are cast, or nvdiffrast (CUDA) is asked."""


def rasterize(
    surfaces: Surfaces,
    intrinsics: Float[Tensor, "3 3"],
    world_to_camera: Float[Tensor, "4 4"],
    width: int,
    height: int,
    *,
    surface: int = 0,
    backend: Backend | None = None,
) -> Raster:
    """What the pixels of a picture see; see `rasterize_rays`.

    Args:
        surfaces: What is seen; vertices in world metres.
        intrinsics: Pinhole matrix in pixels.
        world_to_camera: Rigid transform, metres, to OpenCV axes (x right, y down, z forward).
        width: Pixels.
        height: Pixels.
        surface: Which of the surfaces.
        backend: As for `rasterize_rays`.

    Returns:
        Faces, barycentric coordinates and depths; differentiable in the vertices and the camera where these are.
    """
    rays = pixel_rays(intrinsics, world_to_camera, width, height)
    return rasterize_rays(surfaces, *rays, surface=surface, backend=backend)


def rasterize_rays(
    surfaces: Surfaces,
    origins: Float[Tensor, "H W 3"],
    directions: Float[Tensor, "H W 3"],
    *,
    surface: int = 0,
    backend: Backend | None = None,
) -> Raster:
    """What the pinhole rays of a picture, or of a rectangle cut out of one, see first, from either side of a face.

    Args:
        surfaces: What is seen; vertices in world metres.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, hence affine in column and row.
        surface: Which of the surfaces.
        backend: `scan` draws the faces into a depth buffer, for the CPU; `cast` casts a ray through every pixel that
            the bounding box of the surface can cover; `nvdiffrast` asks that library, which has to be installed and
            needs CUDA. By default `scan` on the CPU, `cast` elsewhere. All see the same, up to rounding.

    Returns:
        Faces, barycentric coordinates and depths; differentiable in vertices, origins and directions where these are.

    Raises:
        ValueError: if the directions are not affine in column and row, or faces are to be drawn on CUDA.
        HandsError: if nvdiffrast is asked for and is not there.
    """
    height, width = directions.shape[:2]
    pixels, rows = project_vertices(surfaces.arrays[0], surface, origins, directions)
    if backend is None:
        backend = "cast" if directions.is_cuda else "scan"
    if backend == "scan" and directions.is_cuda:
        raise ValueError("backend scan: expected tensors on the CPU, found them on CUDA; leave the backend out")
    vertices = surfaces.vertices[surface]
    if pixels is not None and backend == "nvdiffrast":
        face = nvdiffrast_faces(pixels, surfaces.faces, height, width)
    else:
        if pixels is None or backend == "cast":
            raster = cast_pixels(surfaces, origins, directions, surface, covered_pixels(pixels, width, height))
        else:
            raster = scan_faces(surfaces.arrays[1], pixels, rows, directions)  # pyright: ignore[reportArgumentType]
        if not needs_recompute(origins, directions, vertices):
            return raster
        face = raster.face
    hit = torch.nonzero(face.view(-1) >= 0)[:, 0]
    toward = directions.reshape(-1, 3).index_select(0, hit)
    corners = vertices.index_select(0, surfaces.faces[face.view(-1)[hit]].view(-1)).view(-1, 3, 3)
    weights, length = plane_barycentric(origins[0, 0].expand_as(toward), toward, corners)

    def whole_image(values: Tensor, missed: float) -> Tensor:
        shape = (height * width, *values.shape[1:])
        return values.new_full(shape, missed).index_copy(0, hit, values).view(height, width, *values.shape[1:])

    away = length * toward.norm(dim=-1)
    return Raster(face, whole_image(weights, 0), whole_image(length, torch.inf), whole_image(away, torch.inf))
