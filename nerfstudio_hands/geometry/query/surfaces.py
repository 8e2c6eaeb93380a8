"""Nearest points, signed distances, ray hits and shell samples on posed triangle surfaces.

The search runs in Warp's bounding volume hierarchies (CPU and CUDA, float32, no gradients). Where gradients are wanted,
or float64, what was found is recomputed in torch from the face, so that gradients reach points, rays *and* vertices.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.query.cast import RayHits, find_hits, recompute_hits
from nerfstudio_hands.geometry.query.closest import ClosestPoints, find_closest, find_inside, recompute_closest
from nerfstudio_hands.geometry.query.layers import SurfaceLayers, find_layers
from nerfstudio_hands.geometry.query.march import ShellSamples, march_shell
from nerfstudio_hands.geometry.query.recompute import needs_recompute
from nerfstudio_hands.geometry.query.silhouette import find_silhouette
from nerfstudio_hands.geometry.query.structure import SearchStructure
from nerfstudio_hands.geometry.query.visible import find_visible_cosines


class Surfaces:
    """S triangle surfaces that share their faces, for example one hand in S poses.

    Signs come from angle-weighted pseudonormals (Baerentzen and Aanaes, "Signed distance computation using the angle
    weighted pseudonormal", TVCG 2005) and are meaningful only on a closed surface, see `topology.closing_faces`.
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
        self._structure = SearchStructure(self.faces, vertices.shape[1])
        self.update(vertices)

    @property
    def num_surfaces(self) -> int:
        """S."""
        return len(self.vertices)

    @property
    def arrays(self) -> tuple[wp.array, wp.array]:
        """Vertices, shape (S, V), and faces, shape (F,), as kernels take them: float32 and int32 triples."""
        return self._structure.vertices_and_faces

    def update(self, vertices: Float[Tensor, "S V 3"]) -> None:
        """Move the vertices; what queries need beside them follows with the first query."""
        num_vertices = self._structure.num_vertices
        if vertices.ndim != 3 or vertices.shape[1:] != (num_vertices, 3):
            raise ValueError(f"expected vertices of shape (S, {num_vertices}, 3), found {tuple(vertices.shape)}")
        self.vertices = vertices
        self.faces = self.faces.to(vertices.device)
        self._structure.update(vertices.detach())

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
        surface = self._check_surface(surface, len(points))
        found = find_closest(self._structure, points, surface, max_distance)
        if not needs_recompute(points, self.vertices):
            return found
        return recompute_closest(found, points, self._corners(found.face, surface))

    def inside(self, points: Float[Tensor, "N 3"], surface: Int[Tensor, " N"] | None = None) -> Bool[Tensor, " N"]:
        """Whether each point lies inside, also where a surface crosses itself and the sign of :meth:`closest` may be
        that of a face which other faces cover: by the winding number (Jacobson et al., SIGGRAPH 2013; far faces summed
        as in Barill et al., SIGGRAPH 2018).

        Args:
            points: Query points, metres, in the frame of the vertices.
            surface: Which surface each point asks, in [0, S); may be left out where S is 1.
        """
        return find_inside(self._structure, points, self._check_surface(surface, len(points)))

    @torch.no_grad()
    def solid_distance(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, " N"] | None = None
    ) -> Float[Tensor, " N"]:
        """Distance of each point, metres, negative where :meth:`inside` says so: of surfaces that may cross themselves;
        arguments as there, without gradients."""
        distance = self.closest(points, surface).signed_distance.abs()
        return torch.where(self.inside(points, surface), -distance, distance)

    def visible_cosines(
        self,
        vertices: Int[Tensor, " W"],
        normals: Float[Tensor, "S W 3"],
        directions: Float[Tensor, "D 3"],
        *,
        lift: float,
        reach: float,
        blocked: bool = False,
    ) -> Float[Tensor, "S W D"]:
        """Cosines between normals and directions, zero below the horizon and where the surface itself is in the way.

        Args:
            vertices: Those that are asked about.
            normals: Theirs, unit.
            directions: Unit, towards the light.
            lift: Metres by which rays start above the surface.
            reach: Metres beyond which nothing is in the way.
            blocked: Whether the cosines are wanted where something is in the way instead, and zero elsewhere.

        Returns:
            Float32, without gradients.
        """
        return find_visible_cosines(self._structure, vertices, normals, directions, lift, reach, blocked)

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
        surface = self._check_surface(surface, len(origins))
        found = find_hits(self._structure, origins, directions, surface, max_distance)
        if not needs_recompute(origins, directions, self.vertices):
            return found
        hit = torch.nonzero(found.face >= 0)[:, 0]
        corners = self._corners(found.face[hit], surface[hit] if len(surface) else surface)
        return recompute_hits(found.face, origins[hit], directions[hit], corners)

    def cross_silhouette(
        self,
        origins: Float[Tensor, "N 3"],
        starts: Float[Tensor, "N 3"],
        ends: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        end_is_empty: Bool[Tensor, " N"],
        *,
        surface: int = 0,
    ) -> Int[Tensor, "N 2"]:
        """The edge in which the silhouette of what is seen crosses the fan of rays between two rays of one origin.

        The plane of the two rays cuts the surface in polygons. From the face that the first ray sees, the polygon is
        walked towards the second ray, from face to neighboring face, until it folds back: there it leaves an edge of
        the silhouette, or the boundary of an open mesh. What is seen just beyond is asked by one ray; where this is
        more of the surface, the walk goes on from there, so that small folds in a rough surface do not end it. Of all
        folds met, the one with the largest step in depth is the answer. No ray has to hit the edge, so faces may be far
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
        return find_silhouette(self._structure, origins, starts, ends, face, end_is_empty, surface)

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
        surface = self._check_surface(surface, len(origins))
        return march_shell(
            self._structure,
            origins,
            directions,
            surface,
            shell=shell,
            num_samples=num_samples,
            max_steps=max_steps,
            jitter=jitter,
        )

    @torch.no_grad()
    def layers(
        self,
        origins: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
        surface: Int[Tensor, " N"] | None = None,
        *,
        below: Float[Tensor, "S V K"],
        counts: Bool[Tensor, " F"],
        scale: Float[Tensor, ""],
        kind: Literal["density", "distance"],
        shell: float,
        starts: Float[Tensor, " N"] | None = None,
        seeds: Int[Tensor, " N"] | None = None,
        max_steps: int = 96,
    ) -> SurfaceLayers:
        """How opaque a soft surface is to rays that pass through the shell of points no further than `shell` from this
        one, layer by layer: at a finger before the palm there are two.

        What is asked of the surface is its distance along a ray, at steps that are the shorter the nearer it is; in
        between it is cubic, by how it changes there.

        Args:
            origins: Ray origins, metres, in the frame of the vertices; may lie inside the shell.
            directions: Unit directions.
            surface: Which surface each ray asks, in [0, S); may be left out where S is 1.
            below: How far below each vertex the soft surface lies, metres, as places at K distances from it know it,
                two at least, evenly from `shell` inside to `shell` outside.
            counts: Faces, closing ones included, near which there is something; elsewhere it is empty.
            scale: Width over which the surface turns from empty to opaque, metres.
            kind: What is opaque: `density`, Laplace's distribution function over `scale` (VolSDF, arXiv 2106.12052), or
                `distance`, sections between distances by the logistic one (NeuS, arXiv 2106.10689).
            shell: Half the thickness of the shell, metres.
            starts: Depths from which on each ray is followed; infinite for none of it; the whole of it without.
            seeds: A face near each ray's start, from which the nearest one is looked for.
            max_steps: Distance queries a ray at most.

        Returns:
            The layers, float32, without gradients.
        """
        surface = self._check_surface(surface, len(origins))
        starts = origins.new_empty(0) if starts is None else starts
        seeds = surface.new_empty(0) if seeds is None else seeds
        asked = (origins, directions, surface, starts, seeds, below, counts, scale)
        return find_layers(self._structure, *asked, is_density=kind == "density", shell=shell, max_steps=max_steps)

    def _check_surface(self, surface: Tensor | None, count: int) -> Tensor:
        if surface is None:
            if self.num_surfaces != 1:
                raise ValueError(f"expected the surface of each point, as there are {self.num_surfaces} surfaces")
            return torch.empty(0, dtype=torch.int64, device=self.vertices.device)
        if surface.shape != (count,):
            raise ValueError(f"expected a surface for each of {count} points, found shape {tuple(surface.shape)}")
        # The kernels read memory at these indices, so a wrong one must not reach them; a GPU would have to be waited
        # for to find out.
        if surface.is_cuda:
            return surface.to(torch.int64).clamp(0, self.num_surfaces - 1).contiguous()
        if count and not (0 <= int(surface.min()) and int(surface.max()) < self.num_surfaces):
            raise ValueError(f"expected surfaces in [0, {self.num_surfaces}), found {surface.min()} to {surface.max()}")
        return surface.to(torch.int64).contiguous()

    def _corners(self, face: Tensor, surface: Tensor) -> Tensor:
        corners = self.faces[face.clamp_min(0)]
        return self.vertices[surface[:, None], corners] if len(surface) else self.vertices[0, corners]
