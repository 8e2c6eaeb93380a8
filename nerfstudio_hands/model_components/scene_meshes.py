"""Closed meshes of a hand and what it holds from their signed distances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.estimators.hand_object.distance_network import DistanceNetwork, SeenScene, Skeleton
from nerfstudio_hands.estimators.hand_object.scene_network import PredictedScene
from nerfstudio_hands.geometry.isosurface import DistanceFn, NoSurfaceError, extract_isosurface
from nerfstudio_hands.geometry.mesh import vertex_normals

COARSE = 0.016
"""Meters between the points by which the box round a surface is found: half a cell's diagonal is less than the distance
up to which networks learn."""

SCENE_COLORS = torch.tensor([[0.85, 0.65, 0.55], [0.35, 0.55, 0.85]])
"""Of hand and object where these are drawn."""

POINTS_AT_ONCE = 1 << 15

AskFn = Callable[[SeenScene, Skeleton, Float[Tensor, "1 N 3"]], Float[Tensor, "1 N"]]


@dataclass(frozen=True)
class SceneMesh:
    """A closed surface, axes of the view, meters."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]


@dataclass(frozen=True)
class SceneMeshes:
    """What is seen in one picture; None where the distance is nowhere negative."""

    hand: SceneMesh | None
    object: SceneMesh | None

    def both(self) -> tuple[SceneMesh, Float[Tensor, " V"]]:
        """One mesh of all there is, and which vertices are the object's."""
        parts = [(part, kind) for kind, part in enumerate((self.hand, self.object)) if part is not None]
        if not parts:
            return SceneMesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)), torch.zeros(0)
        starts = np.cumsum([0, *(len(part.vertices) for part, _ in parts[:-1])]).tolist()
        faces = [part.faces + start for (part, _), start in zip(parts, starts, strict=True)]
        kinds = [torch.full((len(part.vertices),), float(kind)) for part, kind in parts]
        return SceneMesh(torch.cat([part.vertices for part, _ in parts]), torch.cat(faces)), torch.cat(kinds)


@torch.no_grad()
def scene_meshes(
    network: DistanceNetwork, scene: PredictedScene, index: int, *, reach: float, voxel: float
) -> SceneMeshes:
    """Meshes of one of the predicted scenes: of hand and object the largest piece.

    Args:
        network: Of distances, evaluated.
        scene: Of B pictures.
        index: Which of them.
        reach: Half the edge of the cube round the wrist in which they are looked for, meters.
        voxel: Edge of the voxels, meters.

    Raises:
        HandsError: A distance is not finite, or the voxels are too small for the memory.
    """
    one = scene.at(index)
    wrist = one.skeleton.joints[0, 0]
    steps = torch.arange(-reach, reach + COARSE / 2, COARSE, device=wrist.device)
    grid = torch.cartesian_prod(steps, steps, steps) + wrist

    def surface(ask: AskFn) -> SceneMesh | None:
        def distance(points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
            parts = points.split(POINTS_AT_ONCE)
            found = torch.cat([ask(one.seen, one.skeleton, part[None])[0] for part in parts])
            # What a network says far away, where it has learned nothing, ends at the cube.
            return torch.maximum(found, (points - wrist).abs().amax(-1) - reach)

        return _surface(distance, grid, voxel)

    return SceneMeshes(surface(network.hand_distances), surface(network.object_distances))


def _surface(distance: DistanceFn, grid: Float[Tensor, "N 3"], voxel: float) -> SceneMesh | None:
    # What is thinner than a cell may lie between all points, which are then nearer to it than this.
    near = distance(grid) < COARSE * 3**0.5 / 2
    if not near.any():
        return None
    low, high = grid[near].amin(0) - COARSE, grid[near].amax(0) + COARSE
    try:
        found = extract_isosurface(distance, low, high, voxel=voxel)
    except NoSurfaceError:
        return None
    pieces = trimesh.Trimesh(found.vertices, found.faces, process=False).split(only_watertight=False)
    if not len(pieces):
        return None
    largest = max(pieces, key=lambda piece: piece.area)
    return SceneMesh(
        torch.from_numpy(np.asarray(largest.vertices, np.float32)).to(grid),
        torch.from_numpy(np.asarray(largest.faces, np.int64)).to(grid.device),
    )


def scene_colors(mesh: SceneMesh, of_object: Float[Tensor, " V"], colors: Float[Tensor, "2 3"]) -> Float[Tensor, "V 3"]:
    """Colors of the vertices, of hand and object, in the light of a camera's flash, as displayed."""
    facing = -vertex_normals(mesh.vertices, mesh.faces)[:, 2].clamp(max=0)
    return colors.to(mesh.vertices)[of_object.long()] * (0.35 + 0.65 * facing)[:, None]
