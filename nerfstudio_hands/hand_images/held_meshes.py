"""Distances to the rigid things that hands hold, of meshes with holes too, and grids of those that are asked often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from scipy.ndimage import map_coordinates

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.hand_images.hand_image import HandObjectImages, HeldMesh
from nerfstudio_hands.program.progress import say, track

TOLD = 0.95
"""Share of a surface whose two sides the winding number has to tell apart."""

LEAKS = 0.05
"""Most of the changes of sign from one grid point to the next that may lie where no surface is near."""

PROBES = 500
"""Places of a surface at which its sides are looked at."""

STEP = 1e-3
"""How far off the surface they are looked at, in lengths of its box's diagonal."""

COARSE = 20
"""Points a side of the grid in which leaks are looked for."""

WELD = 1e7
"""Vertices within a ten-millionth of a meter are one."""

IMAGES_LOOKED_AT, MESHES_LOOKED_AT = 500, 100
"""Pictures of a source whose meshes are looked at before a training, and at most so many meshes: a minute or two."""

BYTES_A_FACE = 250
"""Memory of a search hierarchy, about."""


class HeldSurface:
    """A mesh that is ready to be asked for distances.

    The sign is that of the winding number (`geometry.Surfaces.inside`), so that parts may pass through each other and
    small holes do no harm; a mesh that is wound inside out is turned.

    Attributes:
        is_closed: Whether every edge has two faces, which run along it in opposite directions.
        num_faces: Of the mesh, faces without area left out.
    """

    def __init__(self, mesh: HeldMesh) -> None:
        vertices, faces = _welded(mesh)
        corners = vertices[faces].astype(np.float64)
        if np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
            faces = faces[:, [0, 2, 1]]
        self.is_closed = is_closed(faces)
        self.num_faces = len(faces)
        self._corners = vertices[faces]
        self._surfaces = Surfaces(torch.from_numpy(faces), torch.from_numpy(vertices)[None])

    @property
    def box(self) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
        """Lower and upper corner."""
        return self._corners.min((0, 1)), self._corners.max((0, 1))

    def distances(self, points: Float[np.ndarray, "N 3"]) -> Float32[np.ndarray, " N"]:
        """Meters, negative inside; points in the mesh's own frame."""
        return self._surfaces.solid_distance(torch.from_numpy(np.ascontiguousarray(points, np.float32))).numpy()

    def lacks_inside(self) -> str:
        """Why nobody can tell what is inside, in words; nothing where that is clear."""
        if self.is_closed:
            return ""
        if (told := self.told_apart()) < TOLD:
            return f"the two sides of {1 - told:.0%} of its surface cannot be told apart"
        leaks = self.leaks()
        return f"{leaks:.0%} of the boundary of its inside is a hole" if leaks > LEAKS else ""

    def told_apart(self) -> float:
        """Share of the area before which is outside and behind which is inside."""
        edges = self._corners[:, 1:] - self._corners[:, :1]
        normals = np.cross(edges[:, 0], edges[:, 1])
        area = np.linalg.norm(normals, axis=1)
        chosen = np.random.default_rng(0).choice(len(area), PROBES, p=area / area.sum())
        middles = self._corners[chosen].mean(1)
        lower, upper = self.box
        step = normals[chosen] * (STEP * np.linalg.norm(upper - lower) / area[chosen])[:, None]
        return float((self._inside(middles - step) & ~self._inside(middles + step)).mean())

    def leaks(self) -> float:
        """Share of the changes of sign between neighbors in a coarse grid that are too far from the surface for any
        distance function: neighbors of different signs are no farther from it, together, than from each other."""
        grid, spacing = grid_of(self, COARSE, margin=0.0)
        changes = wrong = 0
        for axis in range(3):
            one, other = (np.take(grid, range(first, COARSE - 1 + first), axis) for first in (0, 1))
            changed = (one < 0) != (other < 0)
            changes += changed.sum()
            # Winding numbers of faraway faces are approximate.
            wrong += (changed & (abs(one - other) > 1.05 * spacing[axis])).sum()
        return float(wrong / max(changes, 1))

    def _inside(self, points: np.ndarray) -> Bool[np.ndarray, " N"]:
        return self._surfaces.inside(torch.from_numpy(np.ascontiguousarray(points, np.float32))).numpy()


def signed_distances(mesh: HeldMesh, points: Float[np.ndarray, "N 3"]) -> Float32[np.ndarray, " N"]:
    """Meters from points to a mesh, negative inside, in its own frame; see `HeldSurface`."""
    return HeldSurface(mesh).distances(points)


def is_closed(faces: Int[np.ndarray, "F 3"]) -> bool:
    """Whether every edge has two faces, which run along it in opposite directions."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    size = int(directed.max()) + 1
    forward, backward = (np.sort(directed[:, k] * size + directed[:, 1 - k]) for k in (0, 1))
    return bool(np.array_equal(forward, backward) and (np.diff(forward) > 0).all())


def _welded(mesh: HeldMesh) -> tuple[Float32[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """The mesh with one vertex a place, and without faces that this leaves without area."""
    places, number = np.unique(np.round(mesh.vertices.astype(np.float64) * WELD), axis=0, return_inverse=True)
    faces = number.reshape(-1)[mesh.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return (places / WELD).astype(np.float32), faces[whole].astype(np.int64)


def grid_of(
    surface: HeldSurface, side: int, *, margin: float
) -> tuple[Float32[np.ndarray, "S S S"], Float32[np.ndarray, "3"]]:
    """Distances at the points of a grid over the surface's box and a margin, meters, and its spacing."""
    lower, upper = surface.box
    axes = [np.linspace(lower[k] - margin, upper[k] + margin, side, dtype=np.float32) for k in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    spacing = (upper - lower + 2 * margin) / (side - 1)
    return surface.distances(points).reshape(side, side, side), spacing


@dataclass(frozen=True)
class HeldMeshCheck:
    """What is known of a source's meshes.

    Attributes:
        closed: How many are closed.
        by_winding: Names of those with holes whose inside is clear nevertheless.
        failed: Names of those whose inside nobody can tell, and why.
    """

    closed: int
    by_winding: tuple[str, ...]
    failed: dict[str, str]

    def summary(self) -> str:
        """One sentence, naming those that failed."""
        total = self.closed + len(self.by_winding) + len(self.failed)
        told = f"{total} held meshes: {self.closed} closed, {len(self.by_winding)} with holes but a clear inside"
        if not self.failed:
            return f"{told}."
        reasons = "; ".join(f"{name} ({why})" for name, why in self.failed.items())
        return f"{told}, {len(self.failed)} without an inside, which give no distances: {reasons}."


def check_meshes(names: Iterable[str], mesh_of: Callable[[str], HeldMesh]) -> HeldMeshCheck:
    """Looks at every mesh once: half a second for one with holes, far less for a closed one.

    Args:
        names: Of the meshes, as in `HeldLabels`.
        mesh_of: `HandObjectImages.held_mesh`.
    """
    closed, by_winding, failed = 0, [], {}
    for name in track(names, "Looking at held meshes"):
        surface = HeldSurface(mesh_of(name))
        if surface.is_closed:
            closed += 1
        elif why := surface.lacks_inside():
            failed[name] = why
        else:
            by_winding.append(name)
    return HeldMeshCheck(closed, tuple(by_winding), failed)


def check_held(source: HandObjectImages) -> HeldMeshCheck:
    """Looks at the meshes of pictures drawn from a source: at all of a data set of a few things, else at some of them.

    Raises:
        HandsError: A mesh is missing or broken.
    """
    names: set[str] = set()
    for row in np.random.default_rng(0).permutation(len(source))[:IMAGES_LOOKED_AT]:
        held = source.labels(int(row)).held
        if held is not None:
            names.add(held.name)
        if len(names) == MESHES_LOOKED_AT:
            break
    return check_meshes(sorted(names), source.held_mesh)


@dataclass(frozen=True)
class _Grid:
    values: Float32[np.ndarray, "S S S"]
    origin: Float32[np.ndarray, "3"]
    spacing: Float32[np.ndarray, "3"]

    def distances(self, points: Float[np.ndarray, "N 3"]) -> Float32[np.ndarray, " N"]:
        places = (points - self.origin) / self.spacing
        within = places.clip(0, len(self.values) - 1)
        beyond = np.linalg.norm((places - within) * self.spacing, axis=1)
        return (map_coordinates(self.values, within.T, order=1, mode="nearest") + beyond).astype(np.float32)


class HeldDistances:
    """Signed distances to the meshes of a source by name: exact at first, by a grid once a mesh was asked for often.

    A grid is made when as many points have asked as it has itself, so that it never costs more than twice what it
    saves: data sets of a few things (DexYCB) soon have grids, those of thousands (ObMan) do not. Between grid points
    distances are blended: of things of 10 to 16 cm, points within 5 mm of the surface are .02 to .05 mm off on average
    and 1.5 mm at most, at sharp edges and inside of what is as thin as the spacing
    (`tests/hand_images/test_held_meshes.py` measures a box). Points outside of the grid, which are at least its margin
    from the surface, get the distance of the grid's nearest point plus theirs to it, which is too far by at most twice
    the latter.

    Of a mesh without an inside there are no distances, but NaN; it is named once.

    Each process has its own; pickled, it is empty.

    Attributes:
        failed: Names of meshes without an inside so far, and why.
    """

    def __init__(
        self,
        mesh_of: Callable[[str], HeldMesh],
        *,
        grids: bool = True,
        side: int = 64,
        margin: float = 0.03,
        most_bytes: int = 256 * 2**20,
    ) -> None:
        """Makes nothing yet.

        Args:
            mesh_of: `HandObjectImages.held_mesh`.
            grids: Whether there are any. With them what a point is told depends on how often a process has asked.
            side: Points a side of a grid.
            margin: Meters by which grids reach beyond the mesh; at least what losses clamp distances to.
            most_bytes: Of memory that is kept; what was not asked for longest goes first.
        """
        self._mesh_of, self._grids = mesh_of, grids
        self._side, self._margin, self._most_bytes = side, margin, most_bytes
        self._clear()

    def distances(self, name: str, points: Float[np.ndarray, "N 3"]) -> Float32[np.ndarray, " N"]:
        """Meters, negative inside, NaN where there is no inside; points in the mesh's own frame."""
        if name in self.failed:
            return np.full(len(points), np.nan, np.float32)
        known = self._known.get(name)
        if known is None:
            known = HeldSurface(self._mesh_of(name))
            if why := known.lacks_inside():
                return self._without(name, why, points)
        self._asked[name] = self._asked.get(name, 0) + len(points)
        if self._grids and isinstance(known, HeldSurface) and self._asked[name] > self._side**3:
            values, spacing = grid_of(known, self._side, margin=self._margin)
            known = _Grid(values, known.box[0] - self._margin, spacing)
        self._keep(name, known)
        return known.distances(points)

    def _without(self, name: str, why: str, points: np.ndarray) -> Float32[np.ndarray, " N"]:
        self.failed[name] = why
        say(
            f"{name}: expected a mesh with an inside, found one without ({why}); nothing is learned of its distances. "
            f"Such meshes so far: {len(self.failed)}."
        )
        return self.distances(name, points)

    def _keep(self, name: str, known: HeldSurface | _Grid) -> None:
        self._known[name] = known
        self._known.move_to_end(name)
        while len(self._known) > 1 and sum(map(_size, self._known.values())) > self._most_bytes:
            self._known.popitem(last=False)

    def _clear(self) -> None:
        self._known: OrderedDict[str, HeldSurface | _Grid] = OrderedDict()
        self._asked: dict[str, int] = {}
        self.failed: dict[str, str] = {}

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key not in ("_known", "_asked", "failed")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._clear()


def _size(known: HeldSurface | _Grid) -> int:
    return known.values.nbytes if isinstance(known, _Grid) else BYTES_A_FACE * known.num_faces
