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

BANDS_PER_THREAD = 2
"""Bands of rows drawn by each thread, which goes through all faces for each: many balance, few save time."""

SAMPLES = 64
"""Vertices per band by which the rows of a picture are dealt out."""

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
    pixels, rows = _project(surfaces, surface, origins, directions)
    if backend is None:
        backend = "cast" if directions.is_cuda else "scan"
    vertices = surfaces.vertices[surface]
    if pixels is not None and backend == "nvdiffrast":
        face = nvdiffrast_faces(pixels, surfaces.faces, height, width)
    else:
        if pixels is None or backend == "cast":
            raster = _cast(surfaces, origins, directions, surface, _covered(pixels, width, height))
        else:
            raster = _scan(surfaces, pixels, rows, directions)
        if not needs_recompute(origins, directions, vertices):
            return raster
        face = raster.face
    hit = torch.nonzero(face.view(-1) >= 0)[:, 0]
    toward = directions.reshape(-1, 3).index_select(0, hit)
    corners = vertices.index_select(0, surfaces.faces[face.view(-1)[hit]].view(-1)).view(-1, 3, 3)
    weights, length = plane_barycentric(origins[0, 0].expand_as(toward), toward, corners)

    def whole_picture(values: Tensor, missed: float) -> Tensor:
        shape = (height * width, *values.shape[1:])
        return values.new_full(shape, missed).index_copy(0, hit, values).view(height, width, *values.shape[1:])

    away = length * toward.norm(dim=-1)
    return Raster(face, whole_picture(weights, 0), whole_picture(length, torch.inf), whole_picture(away, torch.inf))


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


def _project(
    surfaces: Surfaces, surface: int, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Column and row, centres at whole numbers, and one over depth of the vertices, float64; and the rows, float32.

    Returns:
        Shapes (V, 3) and (V,); None where a vertex is too near or behind the camera, or the grid too small to tell its
        step.
    """
    height, width = directions.shape[:2]
    if min(height, width) < 2:
        return None, None
    grid = directions.detach()
    corner = grid[0, 0].double()
    across, down = (grid[0, -1] - corner) / (width - 1), (grid[-1, 0] - corner) / (height - 1)
    # Not the middle, which a lens that bends all sides alike leaves where it is.
    row, column = height // 4, width // 4
    bent = grid[row, column] - corner - column * across - row * down
    if bool(bent.norm() > AFFINE * torch.minimum(across.norm(), down.norm())):
        raise ValueError("expected directions of z-depth one, affine in column and row, found a grid that is bent")
    to_picture = torch.linalg.inv(torch.stack([across, down, corner], dim=1))
    # Work on all vertices or pixels is left to kernels: torch's own threads go on spinning after theirs, for longer
    # than all this takes, where the kernels' threads have to run.
    vertices, _ = surfaces.arrays
    num_vertices = vertices.shape[1]
    pixels = corner.new_empty(num_vertices, 3)
    rows = corner.new_empty(num_vertices, dtype=torch.float32)
    too_near = torch.zeros(1, dtype=torch.int32, device=corner.device)
    launch(
        kernels.project_kernel,
        num_vertices,
        [
            surface,
            vertices,
            wp.vec3d(*origins[0, 0].tolist()),
            wp.mat33d(*to_picture.flatten().tolist()),
            NEAREST,
            as_array(pixels, wp.vec3d),
            as_array(rows, wp.float32),
            as_array(too_near, wp.int32),
        ],
        chunk=num_vertices,
    )
    return (None, None) if bool(too_near) else (pixels, rows)


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
) -> Raster:
    """What is seen by casting the rays of the covered rows and columns."""
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
    return Raster(face, barycentric, depth, depth * directions.norm(dim=-1))


@torch.no_grad()
def _scan(surfaces: Surfaces, pixels: Tensor, rows: Tensor, directions: Tensor) -> Raster:
    """What is seen by drawing all faces into a depth buffer."""
    height, width = directions.shape[:2]
    # Bands of rows with as many vertices one as the other; each is a pass over all faces.
    threads = torch.get_num_threads()
    bands = threads if threads == 1 else BANDS_PER_THREAD * threads
    sample = rows[:: max(len(rows) // (SAMPLES * bands), 1)].clamp(0, height).sort().values
    edges = sample[torch.arange(bands + 1) * (len(sample) - 1) // bands].int()
    edges[0], edges[-1] = 0, height
    face = torch.empty(height, width, dtype=torch.int64)
    barycentric, z_depth, ray_depth = (torch.empty(height, width, *shape) for shape in ((3,), (), ()))
    launch(
        kernels.scan_kernel,
        bands,
        [
            as_array(edges, wp.int32),
            as_array(rows, wp.float32),
            as_array(pixels, wp.vec3d),
            surfaces.arrays[1],
            as_array(directions.float().contiguous(), wp.vec3),
            as_array(torch.empty_like(face), wp.int64),
            as_array(face, wp.int64),
            as_array(barycentric, wp.vec3),
            as_array(z_depth, wp.float32),
            as_array(ray_depth, wp.float32),
        ],
        chunk=1,
    )
    return Raster(face, barycentric, z_depth, ray_depth)
