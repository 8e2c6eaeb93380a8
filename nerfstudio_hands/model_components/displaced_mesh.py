"""A displacement of the vertices at rest, learned by large steps, and what keeps it a surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.large_steps import LargeSteps
from nerfstudio_hands.geometry.regularizers import (
    MeshEdges,
    displacement_size,
    edge_lengths,
    edge_stretch,
    laplacian_energy,
    normal_consistency,
)


@dataclass
class Topology:
    """What follows from a mesh's faces, and its edges' lengths at rest in meters [E]."""

    laplacian: Laplacian
    edges: MeshEdges
    rest_lengths: Float[Tensor, " E"]
    steps: LargeSteps


class DisplacedMesh(nn.Module):
    """Vertices at rest and their displacement; its parameters are those of `LargeSteps`.

    Args:
        rest_vertices: vertices without it, meters.
        faces: faces of the mesh.
        smoothing: how far a step of one vertex takes its neighbors along (lambda of Nicolet et al. 2021).
    """

    rest_vertices: Tensor
    faces: Tensor

    def __init__(self, rest_vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], *, smoothing: float):
        super().__init__()
        self.smoothing = smoothing
        self.register_buffer("rest_vertices", rest_vertices, persistent=False)
        self.register_buffer("faces", faces, persistent=False)
        self.displacement = nn.Parameter(torch.zeros_like(rest_vertices))
        self._topology: Topology | None = None

    @property
    def topology(self) -> Topology:
        """What follows from the faces, on the device where the vertices are."""
        if self._topology is None:
            laplacian, edges = Laplacian.uniform(self.faces, len(self.rest_vertices)), MeshEdges.of(self.faces)
            steps = LargeSteps(laplacian, self.smoothing)
            self._topology = Topology(laplacian, edges, edge_lengths(self.rest_vertices, edges), steps)
        return self._topology

    def __getstate__(self):
        """Without what is worked out again: sparse matrices and factorizations cannot be copied."""
        return {**self.__dict__, "_topology": None}

    def _apply(self, fn, recurse=True):
        self._topology = None
        return super()._apply(fn, recurse)

    def offset(self) -> Float[Tensor, "V 3"]:
        """The displacement, meters."""
        return self.topology.steps.positions(self.displacement)

    def regularizers(self, offset: Float[Tensor, "V 3"]) -> dict[str, Float[Tensor, ""]]:
        """Bending and size of a displacement in millimeters, and normals and edges of the mesh that it gives.

        Args:
            offset: the displacement, meters.
        """
        topology, vertices = self.topology, self.rest_vertices + offset
        return {
            "laplacian": laplacian_energy(offset * 1000, topology.laplacian),
            "normal": normal_consistency(vertices, self.faces, topology.edges),
            "edge": edge_stretch(vertices, topology.edges, topology.rest_lengths),
            "displacement": displacement_size(offset * 1000),
        }
