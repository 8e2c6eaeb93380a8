"""Tangents of vertices, which give the axes that a normal map's colours refer to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.export.textured_mesh import SplitVertices, is_mirrored


def vertex_tangents(
    vertices: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], split: SplitVertices
) -> Float[np.ndarray, "W 4"]:
    """Tangents of split vertices as glTF's TANGENT: unit vectors towards growing u, and the sign of the bitangent.

    The bitangent is `sign * cross(normal, tangent)` and points towards growing v, upwards in the texture. Tangents of
    the faces are laid into the plane across the vertex normal and averaged by the angle of the corner, after MikkTSpace
    (Mikkelsen, "Simulation of wrinkled surfaces revisited", 2008), which programs use that ignore the attribute.

    Args:
        vertices: Positions.
        normals: Unit normals.
        split: The vertices doubled at seams, see `textured_mesh.split_at_seams`.
    """
    corners, uv = vertices[split.source][split.faces].astype(np.float64), split.uv[split.faces].astype(np.float64)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    sign = np.where(is_mirrored(uv), -1.0, 1.0)
    v_1, v_2 = uv[:, 1, 1:] - uv[:, 0, 1:], uv[:, 2, 1:] - uv[:, 0, 1:]
    along_u = sign[:, None] * (v_2 * edge_1 - v_1 * edge_2)

    normal = normals[split.source].astype(np.float64)
    total, signs = np.zeros_like(normal), np.ones(len(normal))
    for corner in range(3):
        index = split.faces[:, corner]
        to_next = _unit(corners[:, (corner + 1) % 3] - corners[:, corner])
        to_last = _unit(corners[:, (corner + 2) % 3] - corners[:, corner])
        angle = np.arccos(np.clip((to_next * to_last).sum(axis=1), -1, 1))
        np.add.at(total, index, angle[:, None] * _unit(_across(along_u, normal[index])))
        signs[index] = sign
    # Where the faces' tangents cancel, or the texture has no extent, any vector across the normal will do.
    least = np.eye(3)[np.abs(normal).argmin(axis=1)]
    lost = np.linalg.norm(total, axis=1, keepdims=True) < 1e-6
    tangents = _unit(_across(np.where(lost, least, total), normal))
    return np.column_stack([tangents, signs]).astype(np.float32)


def _across(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of vectors across unit normals."""
    return vectors - (vectors * normals).sum(axis=1, keepdims=True) * normals


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
