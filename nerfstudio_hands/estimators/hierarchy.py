"""A template mesh from coarse to fine: graphs of ever more vertices, and how values get from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.topology import edges

FACTORS = (64, 16, 4)
"""How many times fewer faces the coarser levels have, coarsest first."""


@dataclass
class Upsampling:
    """How values at C coarse vertices become values at F fine ones.

    Attributes:
        corners: The three coarse vertices around each fine one.
        weights: Their barycentric weights; rows sum to one.
    """

    corners: Int[Tensor, "F 3"]
    weights: Float[Tensor, "F 3"]

    def matrix(self, num_coarse: int) -> Float[Tensor, "F C"]:
        """The same as a dense matrix."""
        return self.weights.new_zeros(len(self.weights), num_coarse).scatter_add(1, self.corners, self.weights)


@dataclass
class MeshHierarchy:
    """Graphs of a template, coarsest first; the last is the template's own.

    Attributes:
        sizes: Number of vertices of each level.
        edges: Undirected edges of each level, the smaller index first.
        upsamplings: From each level to the next finer one.
    """

    sizes: list[int]
    edges: list[Int[Tensor, "E 2"]]
    upsamplings: list[Upsampling]


def build_hierarchy(template: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> MeshHierarchy:
    """Levels by quadric decimation (Garland and Heckbert, "Surface simplification using quadric error metrics", 1997).

    Every vertex takes its values from the point of the next coarser surface that is nearest to it, as Ranjan et al.,
    "Generating 3D faces using convolutional mesh autoencoders", ECCV 2018.

    Args:
        template: Rest vertices, metres.
        faces: Their triangles.
    """
    meshes = [_decimated(template, faces, len(faces) // factor) for factor in FACTORS] + [(template, faces)]
    upsamplings = []
    for (coarse, coarse_faces), (fine, _) in zip(meshes[:-1], meshes[1:], strict=True):
        nearest = Surfaces(coarse_faces, coarse[None]).closest(fine)
        upsamplings.append(Upsampling(coarse_faces[nearest.face], nearest.barycentric))
    return MeshHierarchy([len(vertices) for vertices, _ in meshes], [edges(f)[0] for _, f in meshes], upsamplings)


def _decimated(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], num_faces: int
) -> tuple[Float[Tensor, "C 3"], Int[Tensor, "D 3"]]:
    import open3d as o3d  # slow to import, and needed only where a hierarchy is built, not where weights are read

    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(vertices.double().numpy()), o3d.utility.Vector3iVector(faces.int().numpy())
    ).simplify_quadric_decimation(num_faces)
    return (
        torch.from_numpy(np.asarray(mesh.vertices)).to(vertices),
        torch.from_numpy(np.asarray(mesh.triangles)).to(faces),
    )
