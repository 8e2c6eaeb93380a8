"""Search hierarchies of surfaces that share their faces, and all else that the kernels read."""

from __future__ import annotations

import threading

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.arrays import SurfaceArrays
from nerfstudio_hands.geometry.kernels.normals import edge_normals_kernel, face_normals_kernel, vertex_normals_kernel
from nerfstudio_hands.geometry.launch import as_array, launch, torch_stream
from nerfstudio_hands.geometry.topology import Topology, incidence

REFIT_ABOVE = 0.8
"""Mean cosine between the faces' normals now and when a hierarchy was built, below which it is built anew.

On the default hand a refit takes 0.04 ms and a build 0.7 ms; queries of a hierarchy refitted to fingers bent by 0.3,
0.6 and 1 rad a joint (0.89, 0.62, 0.30 by this measure) take 1.1, 1.3 and 1.5 times as long as those of a new one.
"""


class SearchStructure:
    """Warp's bounding volume hierarchies of S surfaces, and their normals, all float32 and without gradients.

    Args:
        faces: Vertex indices.
        num_vertices: V.

    Attributes:
        num_faces, num_vertices: F and V.
    """

    def __init__(self, faces: Int[Tensor, "F 3"], num_vertices: int) -> None:
        if len(faces) == 0 or int(faces.min()) < 0 or int(faces.max()) >= num_vertices:
            raise ValueError(f"expected faces with indices in [0, {num_vertices}), found shape {tuple(faces.shape)}")
        self.num_faces, self.num_vertices = len(faces), num_vertices
        self._set_faces(faces)
        self._storage = torch.empty(0)
        self._is_ready, self._has_normals, self._making_ready = False, False, threading.Lock()

    @property
    def num_surfaces(self) -> int:
        """S."""
        return len(self._storage)

    @property
    def vertices_and_faces(self) -> tuple[wp.array, wp.array]:
        """Vertices, shape (S, V), and faces, shape (F,): float32 and int32 triples."""
        return self._arrays.vertices, self._arrays.faces

    @property
    def arrays(self) -> SurfaceArrays:  # pyright: ignore[reportGeneralTypeIssues]
        """What kernels read, valid after the first :meth:`update`; who only draws a surface needs none of it, so
        hierarchies and normals follow a move when they are first asked for."""
        with self._making_ready:
            self._follow()
            if not self._has_normals:
                self._update_normals()
                self._has_normals = True
        return self._arrays

    @property
    def hierarchies(self) -> SurfaceArrays:  # pyright: ignore[reportGeneralTypeIssues]
        """The same for kernels of rays, which ask for no normals of edges and vertices: those may be of before a
        move."""
        with self._making_ready:
            self._follow()
        return self._arrays

    def _follow(self) -> None:
        if self._is_ready:
            return
        self._refit(self._update_face_normals())
        self._arrays.meshes = self._ids(self._meshes)  # pyright: ignore[reportArgumentType]
        self._arrays.lower = as_array(self._storage.amin(1), wp.vec3)
        self._arrays.upper = as_array(self._storage.amax(1), wp.vec3)
        self._is_ready, self._has_normals = True, False

    def _set_faces(self, faces: Tensor) -> None:
        self._topology = Topology(faces)
        self._neighbors: wp.array | None = None
        corners, face_edges = (values.to(torch.int32).contiguous() for values in (faces, self._topology.face_edges))
        self._indices = as_array(corners.reshape(-1), wp.int32)
        self._edge_faces = [as_array(part, wp.int32) for part in self._topology.edge_faces]
        self._vertex_faces = [as_array(part, wp.int32) for part in incidence(faces, self.num_vertices)]
        self._arrays = SurfaceArrays()
        self._arrays.faces, self._arrays.face_edges = as_array(corners, wp.vec3i), as_array(face_edges, wp.vec3i)

    def update(self, vertices: Float[Tensor, "S V 3"]) -> None:
        """Move the vertices: each hierarchy is refitted, or built anew where the faces turned far or S changes."""
        if self._storage.shape != vertices.shape or self._storage.device != vertices.device:
            if self._topology.faces.device != vertices.device:
                self._set_faces(self._topology.faces.to(vertices.device))
            # The hierarchies read this memory, so it belongs to them alone and is never replaced while they live.
            self._storage = torch.empty_like(vertices, dtype=torch.float32, memory_format=torch.contiguous_format)
            self._meshes: list[wp.Mesh | None] = [None] * len(vertices)
            self._built_normals = self._storage.new_zeros(len(vertices), self.num_faces, 3)
        self._storage.copy_(vertices)
        self._solids: list[wp.Mesh] | None = None
        self._arrays.vertices = as_array(self._storage, wp.vec3)
        self._is_ready = False

    @property
    def neighbors(self) -> wp.array:
        """Per face, the face across each of its edges, see :attr:`Topology.neighbors`."""
        if self._neighbors is None:
            self._neighbors = as_array(self._topology.neighbors.to(torch.int32).contiguous(), wp.vec3i)
        return self._neighbors

    def solids(self) -> wp.array:
        """Hierarchies that know winding numbers, built when they are first asked for after a move."""
        if self._solids is None:
            with torch_stream(self._storage.device):
                self._solids = [
                    wp.Mesh(as_array(vertices, wp.vec3), self._indices, support_winding_number=True)
                    for vertices in self._storage
                ]
        return self._ids(self._solids)

    def _refit(self, face_normals: Float[Tensor, "S F 3"]) -> None:
        alike = (self._built_normals * face_normals).sum(-1).mean(-1)
        for index, value in enumerate(alike.tolist()):
            mesh = self._meshes[index]
            with torch_stream(self._storage.device):
                if mesh is not None and value > REFIT_ABOVE:
                    mesh.refit()
                    continue
                self._meshes[index] = wp.Mesh(as_array(self._storage[index], wp.vec3), self._indices)
            self._built_normals[index] = face_normals[index]

    def _ids(self, meshes: list[wp.Mesh]) -> wp.array:
        ids = torch.tensor([mesh.id for mesh in meshes], dtype=torch.int64, device=self._storage.device)
        return as_array(ids, wp.uint64)

    def _update_face_normals(self) -> Float[Tensor, "S F 3"]:
        """Unit normals of the faces."""
        normals = self._storage.new_empty(self.num_surfaces, self.num_faces, 3)
        self._arrays.face_normals = as_array(normals, wp.vec3)
        given = [self.num_faces, *self.vertices_and_faces, self._arrays.face_normals]
        launch(face_normals_kernel, self.num_surfaces * self.num_faces, given)
        return normals

    def _update_normals(self) -> None:
        """Unit normals of edges and vertices."""
        sizes = (len(self._topology.edges), self.num_vertices)
        normals = (self._storage.new_empty(self.num_surfaces, size, 3) for size in sizes)
        of_edges, of_vertices = (as_array(values, wp.vec3) for values in normals)
        of_faces, (num_edges, num_vertices) = self._arrays.face_normals, sizes
        launch(
            edge_normals_kernel,
            self.num_surfaces * num_edges,
            [num_edges, *self._edge_faces, of_faces, of_edges],
        )
        launch(
            vertex_normals_kernel,
            self.num_surfaces * num_vertices,
            [num_vertices, *self.vertices_and_faces, *self._vertex_faces, of_faces, of_vertices],
        )
        self._arrays.edge_normals, self._arrays.vertex_normals = of_edges, of_vertices
