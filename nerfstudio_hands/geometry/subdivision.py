"""Loop subdivision as a sparse matrix, so that anything stored per vertex is subdivided like the positions."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.geometry.topology import Topology

FAIR_ITERATIONS = 2
"""Of :func:`interpolating_controls`. With 4, as with an exact solve, small faces in the creases of a hand fold over."""


class FairSubdivision:
    """Loop subdivision near the old vertices, for anything stored per vertex; linear in the values.

    Loop's rule alone shrinks a shape, and a smooth surface exactly through the vertices folds where small faces meet at
    sharp angles. This one lies between: the old vertices are the first of the new ones, moved by a fraction of what
    Loop's rule moves them by.

    Args:
        faces: Vertex indices; every edge has one or two faces.
        num_vertices: V.
        levels: How often each triangle is cut in four.

    Attributes:
        faces: ``[G, 3]``, G = 4^levels F; the four children of face f of the level before, F faces, are f + k F.

    Raises:
        HandsError: If the faces are no surface, see :func:`loop_subdivision`.
    """

    def __init__(self, faces: Int[Tensor, "F 3"], num_vertices: int, levels: int) -> None:
        self.faces: Int[Tensor, "G 3"]
        self.faces, self._matrix = loop_subdivision(faces, num_vertices, levels)

    def __call__(self, values: Float[Tensor, "V *C"]) -> Float[Tensor, "W *C"]:
        """Values at the W fine vertices; no gradients."""
        controls = interpolating_controls(self._matrix, _flat(values), FAIR_ITERATIONS)
        return torch.from_numpy(self._matrix @ controls).to(values).reshape(-1, *values.shape[1:])

    def undo(self, values: Float[Tensor, "V *C"]) -> Float[Tensor, "V *C"]:
        """The values whose subdivision has these at its first V vertices; no gradients."""
        return torch.from_numpy(self._own().solve(_flat(values))).to(values).reshape(values.shape)

    def regressor(self, coarse: Float[Tensor, "K V"]) -> Float[Tensor, "K W"]:
        """Matrix that gives, of subdivided values, what `coarse` gives of the values; it looks at the first V only."""
        own = torch.from_numpy(self._own().solve(_flat(coarse.T), trans="T").T).to(coarse)
        return torch.nn.functional.pad(own, (0, self._matrix.shape[0] - self._matrix.shape[1]))

    def _own(self) -> SuperLU:
        """From the values to those at the same vertices after subdivision, factorized.

        With A the old vertices' rows of the subdivision, :func:`interpolating_controls` sums powers of 1 - A, and this
        is 1 - (1 - A)^(iterations + 1). A has eigenvalues of about a quarter to one, hence this has 0.58 to one.
        """
        count = self._matrix.shape[1]
        missed = sparse.identity(count, format="csc") - self._matrix[:count].tocsc()
        own = sparse.identity(count, format="csc") - missed ** (FAIR_ITERATIONS + 1)
        return splu(own.tocsc(), permc_spec="MMD_AT_PLUS_A")


def subdivide_corners(corners: Float[Tensor, "F 3 C"], levels: int) -> Float[Tensor, "G 3 C"]:
    """Values per corner of each face, linear within it, at the corners of the subdivided faces.

    The faces are those of :func:`loop_subdivision`; neighbors that disagree along their edge (a seam of a texture
    atlas) go on doing so.
    """
    for _ in range(levels):
        middle = (corners + corners.roll(-1, dims=1)) / 2
        corners = torch.cat(
            [torch.stack([corners[:, k], middle[:, k], middle[:, k - 1]], 1) for k in range(3)] + [middle]
        )
    return corners


def loop_subdivision(
    faces: Int[Tensor, "F 3"], num_vertices: int, levels: int
) -> tuple[Int[Tensor, "G 3"], sparse.csr_matrix]:
    """Repeated Loop subdivision (Loop, "Smooth subdivision surfaces based on triangles", 1987), boundaries included.

    Args:
        faces: Vertex indices; every edge has one or two faces.
        num_vertices: V.
        levels: How often each triangle is cut in four.

    Returns:
        Faces (G = 4^levels F), on the device of `faces`, and the matrix (W, V) that takes values at the V vertices to
        the W new ones. The first V of these are the old ones, moved.

    Raises:
        HandsError: If an edge has more than two faces, or more than one boundary passes through a vertex.
    """
    device = faces.device
    faces, matrix = faces.cpu(), sparse.identity(num_vertices, format="csr")
    for _ in range(levels):
        faces, step = _loop_step(faces, num_vertices)
        matrix = sparse.csr_matrix(step @ matrix)
        num_vertices = step.shape[0]
    return faces.to(device), matrix  # pyright: ignore[reportReturnType]


def interpolating_controls(
    matrix: sparse.csr_matrix, vertices: Float[np.ndarray, "V C"], iterations: int = 4
) -> Float[np.ndarray, "V C"]:
    """Control points whose subdivision passes (nearly) through `vertices`, which Loop's rule alone would shrink.

    Progressive interpolation: each control point is moved by what its image misses (Cheng et al., "Loop subdivision
    surface based progressive interpolation", JCST 2009); few iterations keep the surface fair.
    """
    own = matrix[: len(vertices)]
    controls = vertices.copy()
    for _ in range(iterations):
        controls = controls + (vertices - own @ controls)
    return controls


def _flat(values: Float[Tensor, "V *C"]) -> Float[np.ndarray, "V D"]:
    return values.detach().cpu().double().reshape(len(values), -1).numpy()


def _loop_step(faces: Tensor, num_vertices: int) -> tuple[Tensor, sparse.csr_matrix]:
    topology = Topology(faces)
    pairs, face_edges, corners = topology.edges.numpy(), topology.face_edges.numpy(), faces.numpy()
    num_edges, num_faces = len(pairs), topology.num_edge_faces.numpy()
    boundary = num_faces == 1
    boundary_edges = np.bincount(pairs[boundary].ravel(), minlength=num_vertices)
    if num_faces.max(initial=0) > 2 or boundary_edges.max(initial=0) > 2:
        raise HandsError(
            f"faces: expected a surface, found {(num_faces > 2).sum()} edges with more than two faces and "
            f"{(boundary_edges > 2).sum()} vertices where boundaries touch; repair the mesh first."
        )

    rows, columns, values = [], [], []

    def add(row: np.ndarray, column: np.ndarray, value: np.ndarray | float) -> None:
        rows.append(row)
        columns.append(column)
        values.append(np.broadcast_to(value, row.shape))

    # New vertex on an edge: 3/8 of its ends and 1/8 of the two opposite corners; the middle on a boundary.
    edge_row = num_vertices + np.arange(num_edges)
    for end in range(2):
        add(edge_row, pairs[:, end], np.where(boundary, 0.5, 0.375))
    for corner in range(3):
        inner = ~boundary[face_edges[:, corner]]
        add(num_vertices + face_edges[inner, corner], corners[inner, (corner + 2) % 3], 0.125)

    # Old vertex: Loop's weights over the ring of n neighbors; (1/8, 3/4, 1/8) along a boundary.
    valence = np.bincount(pairs.ravel(), minlength=num_vertices)
    on_boundary = boundary_edges > 0
    n = np.maximum(valence, 1)
    ring = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / n)) ** 2) / n
    vertex = np.arange(num_vertices)
    add(vertex, vertex, np.where(on_boundary, 0.75, 1 - valence * ring))
    for this, other in ((0, 1), (1, 0)):
        inner = ~on_boundary[pairs[:, this]]
        add(pairs[inner, this], pairs[inner, other], ring[pairs[inner, this]])
        add(pairs[boundary, this], pairs[boundary, other], 0.125)

    shape = (num_vertices + num_edges, num_vertices)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    middle = face_edges + num_vertices
    new = np.concatenate(
        [
            np.stack([corners[:, 0], middle[:, 0], middle[:, 2]], axis=1),
            np.stack([corners[:, 1], middle[:, 1], middle[:, 0]], axis=1),
            np.stack([corners[:, 2], middle[:, 2], middle[:, 1]], axis=1),
            middle,
        ]
    )
    return torch.from_numpy(new), sparse.coo_matrix(entries, shape=shape).tocsr()  # pyright: ignore[reportReturnType]
