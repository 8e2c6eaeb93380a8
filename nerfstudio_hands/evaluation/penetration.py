"""How deep a hand reaches into what it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.evaluation.mesh_metrics import Mesh, sample_surface
from nerfstudio_hands.geometry.topology import closing_faces

NUM_SAMPLES = 30_000
"""Points on the hand, beside its vertices, that are tried."""

VOXEL = 1e-3
"""Edge in metres of the cells by which overlap is measured."""

PUBLISHED_VOXEL = 5e-3
"""gSDF's, more than most overlaps are thick; a hundredth of the work."""

CELLS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Penetration:
    """What hand and object share."""

    depth: float
    """Distance from the object's surface to the deepest point of the hand's surface in it, millimetres; 0 without."""
    volume: float
    """Of what both fill, cm3."""


def penetration(hand: Mesh, held: Mesh, *, voxel: float = VOXEL) -> Penetration:
    """How deep a hand reaches into an object, and how much space both fill.

    Regions play no part. Holes of a mesh, such as the wrist, are closed first. The volume is counted in cells.

    Args:
        hand: The hand.
        held: The object.
        voxel: Edge of a cell, metres.
    """
    solid_hand, solid_held = _Solid(hand), _Solid(held)
    points = torch.cat([hand.vertices.detach(), sample_surface(replace(hand, region=None), NUM_SAMPLES, seed=0).points])
    points = points.cpu().numpy()
    deep = solid_held.distance(points[solid_held.holds(points)])
    vertices = [mesh.vertices.detach().cpu().numpy() for mesh in (hand, held)]
    low, high = np.max([v.min(0) for v in vertices], axis=0), np.min([v.max(0) for v in vertices], axis=0)
    counts = np.ceil(np.maximum(high - low, 0) / voxel).astype(int)
    filled = 0
    for start in range(0, counts.prod(), CELLS_AT_ONCE):
        cell = np.stack(np.unravel_index(np.arange(start, min(start + CELLS_AT_ONCE, counts.prod())), counts), axis=1)
        centers = low + (cell + 0.5) * voxel
        filled += int(solid_held.holds(centers[solid_hand.holds(centers)]).sum())
    return Penetration(depth=1e3 * float(deep.max(initial=0)), volume=filled * (voxel * 100) ** 3)


class _Solid:
    """What a mesh encloses once its holes are closed.

    Inside is what a ray leaves through an odd number of faces, by a majority of three rays: at folds of a fine skin the
    sign from normals is wrong even far away.
    """

    def __init__(self, mesh: Mesh) -> None:
        import open3d as o3d  # slow to import

        faces = torch.cat([mesh.faces, closing_faces(mesh.faces).to(mesh.faces)])
        self._scene, self._tensor = o3d.t.geometry.RaycastingScene(), o3d.core.Tensor
        self._scene.add_triangles(
            mesh.vertices.detach().cpu().numpy().astype(np.float32), faces.cpu().numpy().astype(np.uint32)
        )

    def holds(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Which points are inside."""
        return self._scene.compute_occupancy(self._tensor(points.astype(np.float32)), nsamples=3).numpy() > 0

    def distance(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """Metres from the surface."""
        return self._scene.compute_distance(self._tensor(points.astype(np.float32))).numpy()
