"""Which face each pixel of a pinhole camera sees, and values of the surface there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry import kernels
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.nvdiffrast_backend import nvdiffrast_faces
from nerfstudio_hands.geometry.surface_query import Surfaces, needs_recompute, plane_barycentric

Backend = Literal["scan", "cast", "nvdiffrast"]
"""How visibility is found: faces are drawn one after the other (CPU), rays are cast, or nvdiffrast (CUDA) is asked."""

BANDS_PER_THREAD = 4
"""Bands of rows drawn by each thread, which goes through all faces for each: many balance, few save time."""

NEAREST = 1e-3
"""Depth, metres, down to which vertices are projected; with one nearer or behind the camera every ray is cast."""

AFFINE = 0.01
"""Largest departure of directions from an affine grid, in pixels."""


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
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    across, down, corner = (rotation.T @ torch.linalg.inv(intrinsics.to(**options))).unbind(1)
    rows = corner + (torch.arange(height, **options) + 0.5)[:, None] * down
    directions = rows[:, None] + (torch.arange(width, **options) + 0.5)[:, None] * across
    return (-translation @ rotation).expand(height, width, 3), directions


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
        origins: The camera's centre in every entry, metres.
        directions: Ray directions of z-depth one, hence affine in column and row.
        surface: Which of the surfaces.
        backend: `scan` draws the faces into a depth buffer, for the CPU; `cast` casts a ray through every pixel that
            the bounding box of the surface can cover; `nvdiffrast` asks that library, which has to be installed and
            needs CUDA. By default `scan` on the CPU, `cast` elsewhere. All see the same, up to rounding.

    Returns:
        Faces, barycentric coordinates and depths; differentiable in vertices, origins and directions where these are.

    Raises:
        ValueError: if the directions are not affine in column and row.
        HandsError: if nvdiffrast is asked for and is not there.
    """
    height, width = directions.shape[:2]
    pixels = _project(surfaces.vertices[surface], origins, directions)
    if backend is None:
        backend = "cast" if directions.is_cuda else "scan"
    if pixels is None or backend == "cast":
        face, barycentric, depth = _cast(surfaces, origins, directions, surface, _covered(pixels, width, height))
    elif backend == "scan":
        face, barycentric, depth = _scan(pixels, surfaces.faces, height, width)
    else:
        face, barycentric, depth = nvdiffrast_faces(pixels, surfaces.faces, height, width), None, None

    hit = torch.nonzero(face.view(-1) >= 0)[:, 0]
    toward = directions.reshape(-1, 3).index_select(0, hit)
    vertices = surfaces.vertices[surface]
    if barycentric is None or needs_recompute(origins, directions, vertices):
        corners = vertices.index_select(0, surfaces.faces[face.view(-1)[hit]].view(-1)).view(-1, 3, 3)
        weights, length = plane_barycentric(origins[0, 0].expand_as(toward), toward, corners)
        barycentric = weights.new_zeros(height * width, 3).index_copy(0, hit, weights).view(height, width, 3)
        depth = length.new_full((height * width,), torch.inf).index_copy(0, hit, length).view(height, width)
    away = depth.view(-1).index_select(0, hit) * toward.norm(dim=-1)
    ray_depth = away.new_full((height * width,), torch.inf).index_copy(0, hit, away).view(height, width)
    return Raster(face, barycentric, depth, ray_depth)


def interpolate(values: Float[Tensor, "V C"], raster: Raster, faces: Int[Tensor, "F 3"]) -> Float[Tensor, "H W C"]:
    """Values of the vertices at what each pixel sees.

    Args:
        values: A row per vertex.
        raster: What is seen.
        faces: Vertex indices; a face beyond these, such as a closing one, counts as missed.

    Returns:
        The values, zero where the ray misses; differentiable in values and barycentric coordinates.
    """
    height, width = raster.face.shape
    face = raster.face.view(-1)
    hit = torch.nonzero((face >= 0) & (face < len(faces)))[:, 0]
    corners = values.index_select(0, faces[face[hit]].view(-1)).view(-1, 3, values.shape[1])
    seen = torch.einsum("nk,nkc->nc", raster.barycentric.view(-1, 3).index_select(0, hit), corners)
    return seen.new_zeros(height * width, seen.shape[1]).index_copy(0, hit, seen).view(height, width, -1)


def interpolate_corners(values: Float[Tensor, "F 3 C"], raster: Raster) -> Float[Tensor, "H W C"]:
    """Values that each face has at its own corners, as texture coordinates with seams, at what each pixel sees.

    Args:
        values: A row per corner of each face; a face beyond these, such as a closing one, counts as missed.
        raster: What is seen.

    Returns:
        As `interpolate`.
    """
    corners = torch.arange(3 * len(values), device=values.device).view(-1, 3)
    return interpolate(values.flatten(0, 1), raster, corners)


def _project(vertices: Tensor, origins: Tensor, directions: Tensor) -> Tensor | None:
    """Column and row, centres at whole numbers, and one over depth of the vertices, float64.

    Returns:
        Shape (V, 3); None where a vertex is too near or behind the camera, or the grid too small to tell its step.
    """
    height, width = directions.shape[:2]
    if min(height, width) < 2:
        return None
    grid = directions.detach().double()
    corner = grid[0, 0]
    across, down = (grid[0, -1] - corner) / (width - 1), (grid[-1, 0] - corner) / (height - 1)
    # Not the middle, which a lens that bends all sides alike leaves where it is.
    row, column = height // 4, width // 4
    bent = grid[row, column] - corner - column * across - row * down
    if bool(bent.norm() > AFFINE * torch.minimum(across.norm(), down.norm())):
        raise ValueError("expected directions of z-depth one, affine in column and row, found a grid that is bent")
    basis = torch.stack([across, down, corner], dim=1)
    places = (vertices.detach().double() - origins[0, 0].detach().double()) @ torch.linalg.inv(basis).T
    if bool((places[:, 2] < NEAREST).any()):
        return None
    return torch.cat([places[:, :2], torch.ones_like(places[:, :1])], dim=1) / places[:, 2:]


def _covered(pixels: Tensor | None, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns that the projected vertices span; all of them if they could not be projected."""
    if pixels is None:
        return slice(0, height), slice(0, width)

    def span(start: float, end: float, size: int) -> slice:
        return slice(int(min(max(start, 0), size)), int(min(max(end + 1, 0), size)))

    low, high = pixels.amin(0).floor().tolist(), pixels.amax(0).ceil().tolist()
    return span(low[1], high[1], height), span(low[0], high[0], width)


@torch.no_grad()
def _cast(
    surfaces: Surfaces, origins: Tensor, directions: Tensor, surface: int, covered: tuple[slice, slice]
) -> tuple[Tensor, Tensor, Tensor]:
    """Faces, barycentric coordinates and depths by casting the rays of the covered rows and columns."""
    shape = directions.shape[:2]
    face = torch.full(shape, -1, dtype=torch.int64, device=directions.device)
    barycentric = directions.new_zeros(*shape, 3, dtype=torch.float32)
    depth = directions.new_full(shape, torch.inf, dtype=torch.float32)
    block = directions[covered].float()
    rays = block.reshape(-1, 3)
    chosen = torch.full((len(rays),), surface, dtype=torch.int64, device=rays.device)
    hits = surfaces.cast(origins[covered].reshape(-1, 3).float(), rays, chosen)
    face[covered] = hits.face.view(block.shape[:2])
    barycentric[covered] = hits.barycentric.view(block.shape).float()
    depth[covered] = hits.depth.view(block.shape[:2]).float()
    return face, barycentric, depth


def _scan(pixels: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Faces, barycentric coordinates and depths by drawing all faces into a depth buffer."""
    face = torch.full((height, width), -1, dtype=torch.int64)
    barycentric = torch.zeros(height, width, 3)
    nearness = torch.zeros(height, width)
    threads = torch.get_num_threads()
    rows = -(-height // (threads if threads == 1 else BANDS_PER_THREAD * threads))
    launch(
        kernels.scan_kernel,
        -(-height // rows),
        [
            rows,
            as_array(pixels, wp.vec3d),
            as_array(faces.to(torch.int32), wp.vec3i),
            as_array(nearness, wp.float32),
            as_array(face, wp.int64),
            as_array(barycentric, wp.vec3),
        ],
        chunk=1,
    )
    return face, barycentric, 1 / nearness
