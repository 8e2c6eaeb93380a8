"""Which face each pixel of a pinhole camera sees, without gradients: by casting rays, or by drawing faces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.raster import project_kernel, scan_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.pinhole import pinhole_transform

BANDS_PER_THREAD = 2
"""Bands of rows drawn by each thread, which goes through all faces for each: many balance, few save time."""

SAMPLES = 64
"""Vertices per band by which the rows of a picture are dealt out."""

MIN_DEPTH = 1e-3
"""Depth, metres, down to which vertices are projected; with one nearer or behind the camera every ray is cast."""


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


def project_vertices(
    vertices: wp.array, surface: int, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Column and row, centers at whole numbers, and one over depth of the vertices, float64; and the rows, float32.

    Args:
        vertices: Of surfaces, shape (S, V), float32 triples.
        surface: Which of the surfaces.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, hence affine in column and row.

    Returns:
        Shapes (V, 3) and (V,); None where a vertex is too near or behind the camera, or the grid too small to tell its
        step.
    """
    if min(directions.shape[:2]) < 2:
        return None, None
    to_image = pinhole_transform(directions.detach())
    # Work on all vertices or pixels is left to kernels: torch's own threads go on spinning after theirs, for longer
    # than all this takes, where the kernels' threads have to run.
    num_vertices = vertices.shape[1]
    pixels = to_image.new_empty(num_vertices, 3)
    rows = to_image.new_empty(num_vertices, dtype=torch.float32)
    too_near = torch.zeros(1, dtype=torch.int32, device=to_image.device)
    camera = torch.cat([origins[0, 0].double(), to_image.flatten()]).tolist()
    launch(
        project_kernel,
        num_vertices,
        [
            surface,
            vertices,
            wp.vec3d(*camera[:3]),
            wp.mat33d(*camera[3:]),
            MIN_DEPTH,
            as_array(pixels, wp.vec3d),
            as_array(rows, wp.float32),
            as_array(too_near, wp.int32),
        ],
        chunk=num_vertices,
    )
    return (None, None) if bool(too_near) else (pixels, rows)


def covered_pixels(pixels: Tensor | None, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns that the projected vertices span; all of them if they could not be projected."""
    if pixels is None:
        return slice(0, height), slice(0, width)

    def span(start: float, end: float, size: int) -> slice:
        return slice(int(min(max(start, 0), size)), int(min(max(end + 1, 0), size)))

    low, high = torch.stack([pixels.amin(0).floor(), pixels.amax(0).ceil()]).tolist()
    return span(low[1], high[1], height), span(low[0], high[0], width)


@torch.no_grad()
def cast_pixels(
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
def scan_faces(faces: wp.array, pixels: Tensor, rows: Tensor, directions: Tensor) -> Raster:
    """What is seen by drawing all faces, shape (F,), int32 triples, into a depth buffer."""
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
        scan_kernel,
        bands,
        [
            as_array(edges, wp.int32),
            as_array(rows, wp.float32),
            as_array(pixels, wp.vec3d),
            faces,
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
