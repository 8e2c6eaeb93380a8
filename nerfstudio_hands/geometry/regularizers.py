"""What a plausible surface keeps small: scalar losses on the vertices of a mesh, with its topology worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.mesh import face_normals
from nerfstudio_hands.geometry.topology import Topology


@dataclass(frozen=True)
class MeshEdges:
    """The edges of a mesh and what meets there, on the device of its faces."""

    ends: Int[Tensor, "E 2"]
    """Vertices of each edge."""
    between_faces: Laplacian
    """Of the graph of faces, neighbors being those that share an edge; size F, float32."""

    @staticmethod
    def of(faces: Int[Tensor, "F 3"]) -> MeshEdges:
        """Edges of a mesh; one with more than two faces makes no neighbors."""
        topology = Topology(faces)
        return MeshEdges(topology.edges, Laplacian.graph(topology.face_pairs, len(faces)))


def laplacian_energy(values: Float[Tensor, "V C"], laplacian: Laplacian) -> Float[Tensor, ""]:
    """Mean square, over the vertices, of the difference between a vertex and the (weighted) mean of its neighbors.

    Of positions it flattens the surface, of a displacement only what was added to it, of colors the pattern.

    Args:
        values: Positions, displacement (metres) or anything else stored per vertex.
        laplacian: Of the mesh, uniform or cotangent.

    Returns:
        Square of the unit of the values.
    """
    weight = laplacian.diagonal.clamp_min(torch.finfo(values.dtype).tiny)
    return (laplacian.times(values) / weight[:, None]).square().sum(-1).mean()


def normal_consistency(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], mesh_edges: MeshEdges
) -> Float[Tensor, ""]:
    """Mean of one minus the cosine of the angle between the normals of faces that share an edge; 0 (flat) to 2.

    For unit vectors that is half their squared difference, and the sum of these is a product with the Laplacian.
    """
    normals = face_normals(vertices, faces)
    across = mesh_edges.between_faces
    return (normals * across.times(normals)).sum() / across.diagonal.sum()


def edge_lengths(vertices: Float[Tensor, "V 3"], mesh_edges: MeshEdges) -> Float[Tensor, " E"]:
    """Length of each edge, in the unit of the vertices; without NaN gradients where an edge has none."""
    start, end = vertices[mesh_edges.ends].unbind(1)
    return (start - end).square().sum(-1).clamp_min(torch.finfo(vertices.dtype).tiny).sqrt()


def edge_stretch(
    vertices: Float[Tensor, "V 3"], mesh_edges: MeshEdges, rest_lengths: Float[Tensor, " E"]
) -> Float[Tensor, ""]:
    """Mean square of the relative change of edge lengths; without unit, hence the same at every resolution.

    Args:
        vertices: Positions, metres.
        mesh_edges: Of the mesh.
        rest_lengths: `edge_lengths` of the unrefined mesh in the same pose, metres.
    """
    return (edge_lengths(vertices, mesh_edges) / rest_lengths - 1).square().mean()


def displacement_size(displacement: Float[Tensor, "V 3"]) -> Float[Tensor, ""]:
    """Mean square length of the displacement, square metres."""
    return displacement.square().sum(-1).mean()
