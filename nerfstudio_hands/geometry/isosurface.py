"""The zero level of a signed distance as a watertight mesh, looked for only where it is.

A coarse grid over the box is refined where the distance says that the surface may be near, down to blocks of a few
voxels; marching cubes runs on the blocks that the surface passes through. Where it leaves a block towards one that was
left out, because the field is no exact distance, that one is added: the mesh is closed whatever the field.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.progress import Progress
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes
from torch import Tensor

from nerfstudio_hands.errors import HandsError

COARSE_CELLS = 64
"""Cells along the longest side of the box at which the search begins, at most."""

BLOCK = 4
"""Voxels along a side of a block."""

STEEPEST = 1.5
"""Slope up to which a field that is no exact distance is followed from the coarse grid down."""

POINTS_AT_ONCE = 1 << 18

BYTES_PER_POINT = 200
"""Memory that a point of the finest grid takes at the peak, its part of the mesh included; measured."""

NUDGE = 1e-2
"""Voxels by which a distance misses zero at least, so that no vertices of the mesh meet in a point of the grid, also
where a file has seven digits and the world's origin is a metre away."""

FRACTIONS = 1 << 20
"""Steps in a voxel by which vertices of neighboring blocks are told to be the same; they are so exactly."""

DistanceFn = Callable[[Float[Tensor, "N 3"]], Float[Tensor, " N"]]


class NoSurfaceError(HandsError):
    """There is no surface: the distance nowhere crosses the level."""


@dataclass
class Isosurface:
    """A closed mesh.

    Attributes:
        vertices: Positions, metres [V, 3].
        faces: Triangles, counter-clockwise seen from where the field is larger [F, 3].
        num_points: Points at which the field was asked.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    num_points: int


@torch.no_grad()
def extract_isosurface(
    distance: DistanceFn,
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    *,
    voxel: float,
    level: float = 0.0,
    memory: int | None = None,
) -> Isosurface:
    """Mesh of the points of one distance, without cavities inside.

    Args:
        distance: Signed distance of points, positive outside, metres.
        low, high: Corners of a box round the surface, metres.
        voxel: Edge of the voxels, metres.
        level: The distance, metres.
        memory: Bytes that may be used; by default half of what is free.

    Raises:
        NoSurfaceError: The level is nowhere crossed.
        HandsError: A distance is not finite, or the voxels are too small for the memory.
    """
    budget = (memory or free_memory() // 2) // BYTES_PER_POINT
    size = float((high - low).max())
    if not voxel > 0 or not math.isfinite(voxel) or not size > 0:
        raise HandsError(f"voxel: expected a positive size and a box, found {voxel} m and {size} m; give 0.5 mm, say.")
    halvings = max(0, math.ceil(math.log2(size / voxel / BLOCK / COARSE_CELLS)))
    origin = low.double()

    def ask(grid: Int[Tensor, "N 3"], scale: float, offset: float = 0.0) -> Float[Tensor, " N"]:
        found = torch.cat(
            [distance((origin + (part + offset) * scale).to(low.dtype)) - level for part in grid.split(POINTS_AT_ONCE)]
        )
        if not found.isfinite().all():
            raise HandsError(
                f"surface: expected finite distances, found {int((~found.isfinite()).sum())} others of {len(found)}; "
                "train again with lower learning rates."
            )
        return found

    edge = voxel * BLOCK * 2**halvings
    shape = ((high - low) / edge).ceil().long().clamp(min=1)
    cells = torch.cartesian_prod(*(torch.arange(int(n), device=low.device) for n in shape))
    nearest = [math.inf, -math.inf]
    num_points = 0
    with Progress(transient=True) as progress:
        task = progress.add_task("Looking for the surface", total=halvings + 2)
        for step in range(halvings + 1):
            found = ask(cells, edge, 0.5)
            num_points += len(cells)
            nearest = [min(nearest[0], float(found.min())), max(nearest[1], float(found.max()))]
            cells = cells[found.abs() <= STEEPEST * edge * math.sqrt(3) / 2]
            left = halvings - step
            # Each halving makes four times as many cells where there is a surface.
            check_fits(len(cells) * 4**left * (BLOCK + 1) ** 3, budget, voxel)
            if left:
                cells = (2 * cells[:, None] + _corners(2, cells.device)).flatten(0, 1)
                edge /= 2
            progress.advance(task)
        corners = _Corners(lambda grid: ask(grid, voxel), budget, voxel)
        blocks = corners.crossed(cells)
        progress.advance(task)
    if not len(blocks):
        least, most, level = ((value + level) * 1000 for value in (*nearest, 0.0))
        raise NoSurfaceError(
            f"surface: expected the distance to cross the level {level:.4g} mm, found values from {least:.4g} to "
            f"{most:.4g} mm only; give a --level between them."
        )
    vertices, faces = without_cavities(*_march(corners, blocks))
    vertices = origin.cpu().numpy() + vertices * voxel
    return Isosurface(vertices.astype(np.float32), faces, num_points + corners.count)


def without_cavities(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "G 3"]]:
    """The mesh without the pieces that look inward: holes that nobody sees, in the midst of what is solid.

    They are there where the sign of a distance is wrong, as inside of a finger that the fit has pushed into another.

    Args:
        vertices: Positions.
        faces: Of closed pieces, counter-clockwise seen from outside of what is solid.
    """
    ends = sparse.coo_matrix(
        (np.ones(2 * len(faces)), (faces[:, [0, 0]].ravel(), faces[:, 1:].ravel())), (len(vertices),) * 2
    )
    count, piece = connected_components(ends, directed=False)
    centered = vertices - vertices.mean(axis=0)
    volumes = np.bincount(piece[faces[:, 0]], weights=np.linalg.det(centered[faces]), minlength=count)
    solid = volumes[piece] > 0
    return vertices[solid], (np.cumsum(solid) - 1)[faces[solid[faces[:, 0]]]]


def check_fits(points: int, budget: int, voxel: float) -> None:
    """Raises a HandsError, which says what fits, where a grid has more points than memory has room for."""
    if points > budget:
        # The number of points on a surface grows with the square of the resolution.
        fits = voxel * math.sqrt(points / max(budget, 1)) * 1.05
        raise HandsError(
            f"voxel: expected a grid that fits into {budget * BYTES_PER_POINT / 1e9:.2g} GB, found one of "
            f"{points:.2g} points for a --voxel of {voxel * 1000:.3g} mm; {fits * 1000:.2g} mm fits."
        )


def free_memory() -> int:
    """Bytes of memory that nobody uses."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Corners:
    """Distances at the corners of blocks, each asked once: neighbors that disagree by a rounding error leave cracks.

    Args:
        ask: Distances at points of the finest grid.
        budget: How many points may be kept.
        voxel: Edge of the voxels, for messages.
    """

    def __init__(self, ask: Callable[[Tensor], Tensor], budget: int, voxel: float) -> None:
        self._ask, self._budget, self._voxel = ask, budget, voxel
        self._keys = self._values = torch.empty(0)

    @property
    def count(self) -> int:
        """Points asked."""
        return len(self._keys)

    def crossed(self, blocks: Int[Tensor, "N 3"]) -> Int[Tensor, "M 3"]:
        """Those blocks that the surface passes through, and all others that it goes on to."""
        waiting, known, kept = blocks, _key(blocks).sort().values, []
        self._keys, self._values = known[:0], torch.empty(0, device=blocks.device)
        steps = torch.cat([torch.eye(3, dtype=torch.long), -torch.eye(3, dtype=torch.long)]).to(blocks.device)
        while len(waiting):
            self._learn(waiting)
            onward = []
            for part in waiting.split(POINTS_AT_ONCE // (BLOCK + 1) ** 3):
                inside = self.values(part) < 0
                mixed = ~(inside.flatten(1).all(dim=1) | (~inside).flatten(1).all(dim=1))
                part, inside = part[mixed], inside[mixed]
                kept.append(part)
                for axis in range(3):
                    for side, step in ((BLOCK, steps[axis]), (0, steps[axis + 3])):
                        face = inside.select(axis + 1, side).flatten(1)
                        leaves = ~(face.all(dim=1) | (~face).all(dim=1))
                        onward.append(part[leaves] + step)
            found = torch.cat(onward) if onward else waiting[:0]
            waiting = found[~torch.isin(_key(found), known)].unique(dim=0)
            known = torch.cat([known, _key(waiting)])
        return torch.cat(kept) if kept else blocks[:0]

    def values(self, blocks: Int[Tensor, "N 3"]) -> Float[Tensor, "N C C C"]:
        """Distances at the corners of blocks, none of them zero."""
        wanted = _key((blocks[:, None] * BLOCK + _corners(BLOCK + 1, blocks.device)).flatten(0, 1))
        found = self._values[torch.searchsorted(self._keys, wanted)]
        return found.view(len(blocks), BLOCK + 1, BLOCK + 1, BLOCK + 1)

    def _learn(self, blocks: Int[Tensor, "N 3"]) -> None:
        keys = [
            _key((part[:, None] * BLOCK + _corners(BLOCK + 1, part.device)).flatten(0, 1)).unique()
            for part in blocks.split(POINTS_AT_ONCE)
        ]
        keys = torch.cat(keys).unique()
        keys = keys[~torch.isin(keys, self._keys)]
        check_fits(len(self._keys) + len(keys), self._budget, self._voxel)
        values = (
            torch.cat([self._ask(_unkey(part)) for part in keys.split(POINTS_AT_ONCE)]) if len(keys) else keys.float()
        )
        least = NUDGE * self._voxel
        values = torch.where(values < 0, values.clamp(max=-least), values.clamp(min=least))
        order = torch.cat([self._keys, keys]).argsort()
        self._keys = torch.cat([self._keys, keys])[order]
        self._values = torch.cat([self._values.to(values), values])[order]


def _march(corners: _Corners, blocks: Int[Tensor, "N 3"]) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """Marching cubes (Lewiner et al. 2003, scikit-image) in every block, vertices in voxels; shared ones are merged."""
    places, faces, count = [], [], 0
    for part in blocks.split(POINTS_AT_ONCE // (BLOCK + 1) ** 3):
        for corner, values in zip((part * BLOCK).cpu().numpy(), corners.values(part).cpu().numpy(), strict=True):
            vertices, triangles, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
            places.append(vertices.astype(np.float64) + corner)
            faces.append(triangles + count)
            count += len(vertices)
    places, faces = np.concatenate(places), np.concatenate(faces)
    _, first, merged = np.unique(
        np.rint(places * FRACTIONS).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    return places[first], merged.reshape(-1)[faces].astype(np.int64)


_BITS = 20
_MIDDLE = 1 << (_BITS - 1)


def _key(grid: Int[Tensor, "N 3"]) -> Int[Tensor, " N"]:
    """One number for a place on the grid, also for one a little outside the box."""
    x, y, z = (grid + _MIDDLE).unbind(-1)
    return (x << 2 * _BITS) | (y << _BITS) | z


def _unkey(key: Int[Tensor, " N"]) -> Int[Tensor, "N 3"]:
    mask = (1 << _BITS) - 1
    return torch.stack([key >> 2 * _BITS, key >> _BITS & mask, key & mask], dim=-1) - _MIDDLE


def _corners(count: int, device: torch.device) -> Int[Tensor, "C 3"]:
    """Places of a cube with so many points along a side."""
    steps = torch.arange(count, device=device)
    return torch.cartesian_prod(steps, steps, steps)
