"""What silhouettes leave of a grid, as a closed surface."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from nerfstudio_hands.geometry.isosurface import extract_isosurface

LEAST_CELL = 1e-3
"""Metres; no grid is finer, and of a single point nobody can tell."""

HULL_MARGIN, HULL_VOXEL = 0.9, 0.65
"""Of a cell: how far beyond its points a hull ends, which is further than the middle of eight of them, and the edge of
the voxels in which this is meshed."""

INSET = 1.5
"""Cells by which it is then drawn in: what silhouettes leave is larger than what they show, never smaller."""

SMOOTHINGS = 10
"""Rounds in which each vertex goes halfway to the mean of its neighbours: cells are not to be seen."""


def hull_surface(points: Float[Tensor, "N 3"]) -> trimesh.Trimesh:
    """A closed smooth surface about a cell inside of what `visual_hull.carve` left of a grid.

    Args:
        points: Centres of cells, metres; there is one at least.
    """
    at = points.cpu().numpy()
    tree = KDTree(at)
    # Across the six sides of a cell lie its nearest neighbours.
    cell = max(float(np.median(tree.query(at, [min(7, len(at))])[0])), LEAST_CELL)  # pyright: ignore[reportArgumentType]

    def distance(places: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        return torch.from_numpy(tree.query(places.cpu().numpy())[0]).to(places) - HULL_MARGIN * cell

    low, high = points.amin(dim=0) - 2 * cell, points.amax(dim=0) + 2 * cell
    found = extract_isosurface(distance, low, high, voxel=HULL_VOXEL * cell)
    mesh = trimesh.Trimesh(found.vertices, found.faces, process=False)
    mesh = trimesh.smoothing.filter_laplacian(mesh, iterations=SMOOTHINGS)
    mesh.vertices -= INSET * cell * mesh.vertex_normals
    return mesh
