"""Nearest points, signed distances, ray hits and shell samples on posed triangle surfaces.

The search runs in Warp's bounding volume hierarchies (CPU and CUDA, float32, no gradients). Where gradients are wanted,
or float64, what was found is recomputed in torch from the face, so that gradients reach points, rays *and* vertices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.geometry import kernels
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.mesh import edges

MIN_STEP_PER_SHELL = 0.25
"""Smallest march step in shells: what a ray cuts off shorter than this, in or out of the shell, may go unnoticed.

A chord of 1.25 mm reaches 0.02 mm into the 5 mm shell around a finger.
"""

REFIT_ABOVE = 0.8
"""Mean cosine between the faces' normals now and when a hierarchy was built, below which it is built anew.

On the default hand a refit takes 0.04 ms and a build 0.7 ms; queries of a hierarchy refitted to fingers bent by 0.3,
0.6 and 1 rad a joint (0.89, 0.62, 0.30 by this measure) take 1.1, 1.3 and 1.5 times as long as those of a new one.
"""


@dataclass
class ClosestPoints:
    """Nearest surface points of N query points; what lies beyond `max_distance` has face -1 and zeros elsewhere."""

    face: Int[Tensor, " N"]
    """Face index, int64; at least the number of own faces where a closing face is nearest; -1 beyond `max_distance`."""
    barycentric: Float[Tensor, "N 3"]
    """Weights of the three corners of the face."""
    point: Float[Tensor, "N 3"]
    """Nearest surface point, metres, in the frame of the vertices."""
    signed_distance: Float[Tensor, " N"]
    """Metres, positive outside, infinite beyond `max_distance`."""
    normal: Float[Tensor, "N 3"]
    """Unit pseudonormal of the face, edge or vertex that is nearest; carries no gradient."""


@dataclass
class RayHits:
    """First hits of N rays."""

    face: Int[Tensor, " N"]
    """Face index, int64, closing faces included; -1 where nothing was hit."""
    barycentric: Float[Tensor, "N 3"]
    """Weights of the three corners of the face; zero where nothing was hit."""
    depth: Float[Tensor, " N"]
    """Distance along the direction as given, in its lengths; infinite where nothing was hit."""


@dataclass
class ShellSamples:
    """Samples of the M rays, out of N, that meet the shell around their surface."""

    ray: Int[Tensor, " M"]
    """Index of each such ray, int64, increasing."""
    depth: Float[Tensor, "M num_samples"]
    """Distance along the unit direction in metres, not decreasing along a ray."""
    width: Float[Tensor, "M num_samples"]
    """Length of the part of the ray inside the shell that each sample stands for, metres."""


class Surfaces:
    """S triangle surfaces that share their faces, for example one hand in S poses.

    Signs come from angle-weighted pseudonormals (Baerentzen and Aanaes, "Signed distance computation using the angle
    weighted pseudonormal", TVCG 2005) and are meaningful only on a closed surface, see `mesh.closing_faces`.
    """

    def __init__(
        self,
        faces: Int[Tensor, "F 3"],
        vertices: Float[Tensor, "S V 3"],
        *,
        closing_faces: Int[Tensor, "C 3"] | None = None,
    ) -> None:
        """Build the search structure.

        Args:
            faces: Vertex indices, counter-clockwise seen from outside.
            vertices: Positions of each surface, metres, float32 or float64; keep their graph.
            closing_faces: Faces that close the surface. They are appended to `faces` and take part like these: a face
                index of at least `num_own_faces` in a result says that one of them was met.
        """
        self.num_own_faces = len(faces)
        self.faces = faces if closing_faces is None else torch.cat([faces, closing_faces.to(faces)])
        self._topology = _Topology(self.faces, vertices.shape[1])
        self._storage = torch.empty(0)
        self.update(vertices)

    @property
    def num_surfaces(self) -> int:
        """S."""
        return len(self.vertices)

    @property
    def arrays(self) -> tuple[wp.array, wp.array]:
        """Vertices, shape (S, V), and faces, shape (F,), as kernels take them: float32 and int32 triples."""
        return self._tables[0], self._tables[1]

    def update(self, vertices: Float[Tensor, "S V 3"]) -> None:
        """Move the vertices: refits each hierarchy, or builds it anew where the faces turned far or S changes."""
        if vertices.ndim != 3 or vertices.shape[1:] != (self._topology.num_vertices, 3):
            raise ValueError(
                f"expected vertices of shape (S, {self._topology.num_vertices}, 3), found {tuple(vertices.shape)}"
            )
        self.vertices = vertices
        detached = vertices.detach()
        if self._storage.shape != detached.shape or self._storage.device != detached.device:
            if self.faces.device != detached.device:
                self.faces = self.faces.to(detached.device)
                self._topology = _Topology(self.faces, detached.shape[1])
            # The hierarchies read this memory, so it belongs to them alone and is never replaced while they live.
            self._storage = torch.empty_like(detached, dtype=torch.float32, memory_format=torch.contiguous_format)
            self._meshes: list[wp.Mesh | None] = [None] * len(detached)
            self._built_normals = self._storage.new_zeros(len(detached), len(self.faces), 3)
        self._storage.copy_(detached)
        self._solids: list[wp.Mesh] | None = None
        self._tables, face_normals = self._topology.tables(self._storage)
        alike = (self._built_normals * face_normals).sum(-1).mean(-1)
        for index, value in enumerate(alike.tolist()):
            mesh = self._meshes[index]
            if mesh is not None and value > REFIT_ABOVE:
                mesh.refit()
                continue
            indices = as_array(self._topology.faces.reshape(-1), wp.int32)
            self._meshes[index] = wp.Mesh(as_array(self._storage[index], wp.vec3), indices)
            self._built_normals[index] = face_normals[index]
        ids = torch.tensor([mesh.id for mesh in self._meshes], dtype=torch.int64, device=detached.device)
        self._mesh_ids = as_array(ids, wp.uint64)
        self._lower = as_array(self._storage.amin(1), wp.vec3)
        self._upper = as_array(self._storage.amax(1), wp.vec3)

    def closest(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, " N"] | None = None,
        *,
        max_distance: float = math.inf,
    ) -> ClosestPoints:
        """Nearest point of a surface for each query point.

        Args:
            points: Query points, metres, in the frame of the vertices.
            surface: Which surface each point asks, in [0, S); may be left out where S is 1.
            max_distance: Metres; a short one makes the search faster.

        Returns:
            The nearest points, in the dtype of `points`, differentiable in points and vertices where these are.
        """
        count = len(points)
        surface = self._check_surface(surface, count)
        query = _contiguous_float32(points)
        new = query.new_empty
        face = new(count, dtype=torch.int64)
        barycentric, point, distance, normal = new(count, 3), new(count, 3), new(count), new(count, 3)
        launch(
            kernels.closest_kernel,
            count,
            [
                self._mesh_ids,
                *self._tables,
                as_array(query, wp.vec3),
                as_array(surface, wp.int64),
                max_distance,
                as_array(face, wp.int64),
                as_array(barycentric, wp.vec3),
                as_array(point, wp.vec3),
                as_array(distance, wp.float32),
                as_array(normal, wp.vec3),
            ],
        )
        if not needs_recompute(points, self.vertices):
            return ClosestPoints(face, barycentric, point, distance, normal)
        dtype = torch.promote_types(points.dtype, self.vertices.dtype)
        points, normal, found = points.to(dtype), normal.to(dtype), face >= 0
        corners = self._corners(face, surface).to(dtype)
        barycentric = closest_barycentric(points, corners) * found[:, None]
        point = (barycentric[:, :, None] * corners).sum(1)
        offset = points - point
        # The gradient of the length is the unit offset; on the surface itself, where it has none, it is the normal.
        length = offset.norm(dim=-1)
        sign = torch.where(distance < 0, -1.0, 1.0).to(dtype)
        signed = torch.where(length > 0, sign * length, (offset * normal).sum(-1))
        signed = torch.where(found, signed, math.inf)
        return ClosestPoints(face, barycentric, point, signed, normal)

    def inside(self, points: Float[Tensor, "N 3"], surface: Int[Tensor, " N"] | None = None) -> Bool[Tensor, " N"]:
        """Whether each point lies inside, also where a surface crosses itself and the sign of :meth:`closest` may be
        that of a face which other faces cover: by the winding number (Jacobson et al., SIGGRAPH 2013; far faces summed
        as in Barill et al., SIGGRAPH 2018).

        Args:
            points: Query points, metres, in the frame of the vertices.
            surface: Which surface each point asks, in [0, S); may be left out where S is 1.
        """
        surface = self._check_surface(surface, len(points))
        if self._solids is None:
            indices = as_array(self._topology.faces.reshape(-1), wp.int32)
            self._solids = [
                wp.Mesh(as_array(vertices, wp.vec3), indices, support_winding_number=True) for vertices in self._storage
            ]
        ids = torch.tensor([mesh.id for mesh in self._solids], dtype=torch.int64, device=points.device)
        found = torch.empty(len(points), dtype=torch.bool, device=points.device)
        query = _contiguous_float32(points)
        launch(
            kernels.inside_kernel,
            len(points),
            [
                as_array(ids, wp.uint64),
                as_array(query, wp.vec3),
                as_array(surface, wp.int64),
                as_array(found, wp.bool),
            ],
        )
        return found

    def cast(
        self,
        origins: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
        surface: Int[Tensor, " N"] | None = None,
        *,
        max_distance: float = math.inf,
    ) -> RayHits:
        """First hit of each ray, from either side of a face.

        Args:
            origins: Ray origins, metres, in the frame of the vertices.
            directions: Ray directions; depths are measured in their lengths, so unit ones give metres.
            surface: Which surface each ray asks, in [0, S); may be left out where S is 1.
            max_distance: Largest depth.

        Returns:
            The hits, differentiable in origins, directions and vertices where these are.
        """
        count = len(origins)
        surface = self._check_surface(surface, count)
        start, toward = _contiguous_float32(origins), _contiguous_float32(directions)
        face = start.new_empty(count, dtype=torch.int64)
        barycentric, depth = start.new_empty(count, 3), start.new_empty(count)
        launch(
            kernels.cast_kernel,
            count,
            [
                self._mesh_ids,
                as_array(start, wp.vec3),
                as_array(toward, wp.vec3),
                as_array(surface, wp.int64),
                max_distance,
                as_array(face, wp.int64),
                as_array(barycentric, wp.vec3),
                as_array(depth, wp.float32),
            ],
        )
        if not needs_recompute(origins, directions, self.vertices):
            return RayHits(face, barycentric, depth)
        hit = torch.nonzero(face >= 0)[:, 0]
        corners = self._corners(face[hit], surface[hit] if len(surface) else surface)
        weights, length = plane_barycentric(origins[hit], directions[hit], corners)
        return RayHits(
            face,
            weights.new_zeros(count, 3).index_copy(0, hit, weights),
            length.new_full((count,), math.inf).index_copy(0, hit, length),
        )

    def cross_outline(
        self,
        origins: Float[Tensor, "N 3"],
        starts: Float[Tensor, "N 3"],
        ends: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        end_is_empty: Bool[Tensor, " N"],
        *,
        surface: int = 0,
    ) -> Int[Tensor, "N 2"]:
        """The edge in which the outline of what is seen crosses the fan of rays between two rays of one origin.

        The plane of the two rays cuts the surface in polygons. From the face that the first ray sees, the polygon is
        walked towards the second ray, from face to neighbouring face, until it folds back: there it leaves an edge of
        the outline, or the border of an open mesh. What is seen just beyond is asked by one ray; where this is more of
        the surface, the walk goes on from there, so that small folds in a rough surface do not end it. Of all folds
        met, the one with the largest step in depth is the answer. No ray has to hit the edge, so faces may be far
        smaller than the angle between the rays.

        Args:
            origins: Origins of the rays, metres.
            starts: Directions of the first rays.
            ends: Directions of the second rays.
            face: Face that the first ray sees first, closing faces included.
            end_is_empty: Whether the second ray hits nothing; the answer is then a fold with nothing behind it.
            surface: Which of the surfaces.

        Returns:
            Vertex indices of the edge, int64; -1 where no fold with a step of at least the distance of the two rays in
            depth is met. Without gradients.
        """
        count = len(origins)
        # The kernel reads memory at these indices, so a wrong one must not reach it.
        if not 0 <= surface < self.num_surfaces:
            raise ValueError(f"expected a surface in [0, {self.num_surfaces}), found {surface}")
        if count and not (0 <= int(face.min()) and int(face.max()) < len(self.faces)):
            raise ValueError(f"expected faces in [0, {len(self.faces)}), found {int(face.min())} to {int(face.max())}")
        pairs = torch.empty(count, 2, dtype=torch.int64, device=origins.device)
        positions, faces = self.arrays
        launch(
            kernels.outline_kernel,
            count,
            [
                self._mesh_ids,
                positions,
                faces,
                as_array(self._topology.neighbours, wp.vec3i),
                surface,
                *(as_array(_contiguous_float32(rays), wp.vec3) for rays in (origins, starts, ends)),
                as_array(face.contiguous(), wp.int64),
                as_array(end_is_empty.contiguous(), wp.bool),
                as_array(pairs, wp.int64),
            ],
            chunk=512,
        )
        return pairs

    @torch.no_grad()
    def march(
        self,
        origins: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
        surface: Int[Tensor, " N"] | None = None,
        *,
        shell: float,
        num_samples: int,
        max_steps: int = 96,
        jitter: Float[Tensor, "N num_samples"] | None = None,
    ) -> ShellSamples:
        """Sample rays inside the shell of points no further than `shell` from the surface.

        Each ray is sphere-traced to the shell and through it, until it is deeper than the shell inside the body, which
        is opaque, or leaves the bounding box. The samples are stratified over the parts of the ray in the shell.

        Args:
            origins: Ray origins, metres, in the frame of the vertices; may lie inside the shell.
            directions: Unit directions.
            surface: Which surface each ray asks, in [0, S); may be left out where S is 1.
            shell: Half the thickness of the shell, metres.
            num_samples: Samples on each ray that meets the shell.
            max_steps: Distance queries a ray at most; a ray that needs more ends there.
            jitter: Place of each sample in its stratum, in [0, 1); the middle without.

        Returns:
            The samples, float32, without gradients.
        """
        count = len(origins)
        surface = self._check_surface(surface, count)
        start, toward = _contiguous_float32(origins), _contiguous_float32(directions)
        offsets = start.new_empty(0, 0) if jitter is None else _contiguous_float32(jitter)
        length, depth = start.new_empty(count), start.new_empty(count, num_samples)
        launch(
            kernels.march_kernel,
            count,
            [
                self._mesh_ids,
                *self._tables,
                self._lower,
                self._upper,
                as_array(start, wp.vec3),
                as_array(toward, wp.vec3),
                as_array(surface, wp.int64),
                as_array(offsets, wp.float32),
                shell,
                shell * MIN_STEP_PER_SHELL,
                max_steps,
                num_samples,
                as_array(length, wp.float32),
                as_array(depth, wp.float32),
            ],
            chunk=128,
        )
        ray = torch.nonzero(length > 0)[:, 0]
        width = (length[ray, None] / num_samples).expand(-1, num_samples)
        return ShellSamples(ray, depth[ray], width)

    def _check_surface(self, surface: Tensor | None, count: int) -> Tensor:
        if surface is None:
            if self.num_surfaces != 1:
                raise ValueError(f"expected the surface of each point, as there are {self.num_surfaces} surfaces")
            return torch.empty(0, dtype=torch.int64, device=self.vertices.device)
        if surface.shape != (count,):
            raise ValueError(f"expected a surface for each of {count} points, found shape {tuple(surface.shape)}")
        # The kernels read memory at these indices, so a wrong one must not reach them.
        if count and not (0 <= int(surface.min()) and int(surface.max()) < self.num_surfaces):
            raise ValueError(f"expected surfaces in [0, {self.num_surfaces}), found {surface.min()} to {surface.max()}")
        return surface.to(torch.int64).contiguous()

    def _corners(self, face: Tensor, surface: Tensor) -> Tensor:
        corners = self.faces[face.clamp_min(0)]
        return self.vertices[surface[:, None], corners] if len(surface) else self.vertices[0, corners]


def closest_barycentric(points: Float[Tensor, "N 3"], corners: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 3"]:
    """Barycentric coordinates of the nearest point of one triangle a point, differentiable.

    Args:
        points: Query points.
        corners: Their triangles, one corner a row.

    Returns:
        Weights of the three corners, exactly zero for corners that take no part (Ericson, Real-Time Collision
        Detection, 5.1.5). The derivative is that of the region (face, edge or corner) in which the point projects.
    """
    a, b, c = corners.unbind(1)
    ab, ac, ap = b - a, c - a, points - a
    bp, cp = ap - ab, ap - ac
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    d3, d4 = (ab * bp).sum(-1), (ac * bp).sum(-1)
    d5, d6 = (ab * cp).sum(-1), (ac * cp).sum(-1)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    zero, one = torch.zeros_like(d1), torch.ones_like(d1)
    along_bc, along_cb = d4 - d3, d5 - d6
    # In the order of Ericson's tests, the first that holds decides.
    tests = torch.stack(
        [
            (d1 <= 0) & (d2 <= 0),
            (d3 >= 0) & (d4 <= d3),
            (vc <= 0) & (d1 >= 0) & (d3 <= 0),
            (d6 >= 0) & (d5 <= d6),
            (vb <= 0) & (d2 >= 0) & (d6 <= 0),
            (va <= 0) & (along_bc >= 0) & (along_cb >= 0),
            torch.ones_like(d1, dtype=torch.bool),
        ]
    )
    region = tests.to(torch.uint8).argmax(0)

    def ratio(numerator: Tensor, denominator: Tensor, *regions: int) -> Tensor:
        # Elsewhere the denominator may be zero, which would turn the gradient into NaN through the choice below.
        used = sum(region == r for r in regions).bool()
        return numerator / torch.where(used, denominator, one)

    on_ab = ratio(d1, d1 - d3, 2)
    on_ac = ratio(d2, d2 - d6, 4)
    on_bc = ratio(along_bc, along_bc + along_cb, 5)
    total = va + vb + vc
    v = torch.stack([zero, one, on_ab, zero, zero, 1 - on_bc, ratio(vb, total, 6)])
    w = torch.stack([zero, zero, zero, one, on_ac, on_bc, ratio(vc, total, 6)])
    v, w = v.gather(0, region[None])[0], w.gather(0, region[None])[0]
    u = torch.where((region == 5) | (region == 1) | (region == 3), zero, 1 - v - w)
    return torch.stack([u, v, w], dim=-1)


def plane_barycentric(
    origins: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    corners: Float[Tensor, "N 3 3"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, " N"]]:
    """Where each ray meets the plane of its triangle, differentiable in all three.

    Args:
        origins: Ray origins.
        directions: Ray directions, not along the plane.
        corners: Triangles, one corner a row.

    Returns:
        Barycentric coordinates, and depths in lengths of the directions (Moeller and Trumbore, "Fast, minimum storage
        ray/triangle intersection", 1997).
    """
    a = corners[:, 0]
    ab, ac, ao = corners[:, 1] - a, corners[:, 2] - a, origins - a
    p, q = torch.linalg.cross(directions, ac), torch.linalg.cross(ao, ab)
    determinant = (ab * p).sum(-1)
    determinant = torch.where(determinant == 0, 1.0, determinant)
    v, w = (ao * p).sum(-1) / determinant, (directions * q).sum(-1) / determinant
    return torch.stack([1 - v - w, v, w], dim=-1), (ac * q).sum(-1) / determinant


class _Topology:
    """What depends on the faces only, on the device of the faces."""

    def __init__(self, faces: Tensor, num_vertices: int) -> None:
        if len(faces) == 0 or int(faces.min()) < 0 or int(faces.max()) >= num_vertices:
            raise ValueError(f"expected faces with indices in [0, {num_vertices}), found shape {tuple(faces.shape)}")
        pairs, face_edges = edges(faces)
        self.num_vertices = num_vertices
        self.num_edges = len(pairs)
        self.faces = faces.to(torch.int32).contiguous()
        self.face_edges = face_edges.to(torch.int32).contiguous()
        self.vertex_faces = _incidence(faces, num_vertices)
        self.edge_faces = _incidence(face_edges, self.num_edges)

    @cached_property
    def neighbours(self) -> Tensor:
        """Per face, the face across each of its edges, int32, shape (F, 3); -1 where there is not exactly one."""
        starts, incident = self.edge_faces
        # The two faces of an edge add up to a number from which either is got by taking away the other.
        sums = torch.zeros(self.num_edges, dtype=torch.int64, device=incident.device)
        edge = torch.repeat_interleave(starts.diff())
        sums.index_add_(0, edge, incident.long())
        own = torch.arange(len(self.faces), device=incident.device)[:, None]
        across = sums[self.face_edges.long()] - own
        return torch.where(starts.diff()[self.face_edges.long()] == 2, across, -1).to(torch.int32).contiguous()

    def tables(self, vertices: Tensor) -> tuple[list[wp.array], Tensor]:
        """Vertices, faces, edges of faces, and unit normals of faces, edges and vertices, as the kernels take them.

        Returns:
            The arrays, and once more the face normals, shape (S, F, 3).
        """
        num_surfaces, num_faces = len(vertices), len(self.faces)
        positions, faces = as_array(vertices, wp.vec3), as_array(self.faces, wp.vec3i)
        normals = [vertices.new_empty(num_surfaces, size, 3) for size in (num_faces, self.num_edges, self.num_vertices)]
        face_normals, edge_normals, vertex_normals = (as_array(values, wp.vec3) for values in normals)
        edge_faces = [as_array(part, wp.int32) for part in self.edge_faces]
        vertex_faces = [as_array(part, wp.int32) for part in self.vertex_faces]
        launch(
            kernels.face_normals_kernel,
            num_surfaces * num_faces,
            [num_faces, positions, faces, face_normals],
        )
        launch(
            kernels.edge_normals_kernel,
            num_surfaces * self.num_edges,
            [self.num_edges, *edge_faces, face_normals, edge_normals],
        )
        launch(
            kernels.vertex_normals_kernel,
            num_surfaces * self.num_vertices,
            [self.num_vertices, positions, faces, *vertex_faces, face_normals, vertex_normals],
        )
        face_edges = as_array(self.face_edges, wp.vec3i)
        return [positions, faces, face_edges, face_normals, edge_normals, vertex_normals], normals[0]


def _incidence(members: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Faces around each of `count` vertices or edges, in compressed rows: starts (count + 1) and face indices."""
    flat = members.reshape(-1)
    order = torch.argsort(flat, stable=True)
    starts = torch.zeros(count + 1, dtype=torch.int32, device=members.device)
    starts[1:] = torch.bincount(flat, minlength=count).cumsum(0)
    return starts, (order // 3).to(torch.int32)


def needs_recompute(*tensors: Tensor) -> bool:
    """Whether what a kernel found has to be computed again in torch: for gradients, or for float64."""
    graph = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return graph or any(tensor.dtype == torch.float64 for tensor in tensors)


def _contiguous_float32(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32).contiguous()
