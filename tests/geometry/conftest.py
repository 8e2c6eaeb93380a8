"""Test surfaces and float64 references that share no code with the package."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import trimesh
import warp as wp
from torch import Tensor


@pytest.fixture(scope="session")
def bumpy() -> tuple[Tensor, Tensor]:
    """Vertices (642, 3) and faces (1280, 3) of a closed, dented, spiky ball of about 10 cm, a metre from the origin."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    unit = torch.tensor(ball.vertices, dtype=torch.float64)
    radius = 0.05 * (1 + 0.2 * torch.sin(unit * 9).sum(-1, keepdim=True))
    # Needles: the nearest point of most points around one is its tip or an edge, which plain face normals get wrong.
    radius[::37] *= 1.6
    vertices = unit * radius + torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64)
    return vertices.float(), torch.tensor(ball.faces.copy())


@pytest.fixture(scope="session")
def brute_force() -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Function (points, vertices, faces) -> unsigned distances and winding numbers, from all faces, float64."""

    def run(points: Tensor, vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        distance = torch.empty(len(points), dtype=torch.float64)
        winding = torch.empty(len(points), dtype=torch.float64)
        wp.launch(
            _brute_force_kernel,
            dim=len(points),
            inputs=[
                wp.from_torch(points.double().contiguous(), dtype=wp.vec3d),
                wp.from_torch(vertices.double().contiguous(), dtype=wp.vec3d),
                wp.from_torch(faces.int().contiguous(), dtype=wp.vec3i),
                wp.from_torch(distance),
                wp.from_torch(winding),
            ],
            device="cpu",
        )
        return distance, winding / (4 * math.pi)

    wp.init()
    return run


@wp.func
def _segment_distance(p: wp.vec3d, a: wp.vec3d, b: wp.vec3d) -> wp.float64:
    t = wp.clamp(wp.dot(p - a, b - a) / wp.dot(b - a, b - a), wp.float64(0.0), wp.float64(1.0))
    return wp.length(p - a - t * (b - a))


@wp.kernel(enable_backward=False)
def _brute_force_kernel(
    points: wp.array(dtype=wp.vec3d),
    vertices: wp.array(dtype=wp.vec3d),
    faces: wp.array(dtype=wp.vec3i),
    out_distance: wp.array(dtype=wp.float64),
    out_solid_angle: wp.array(dtype=wp.float64),
):
    item = wp.tid()
    p = points[item]
    best = wp.float64(wp.inf)
    angle = wp.float64(0.0)
    for k in range(faces.shape[0]):
        a = vertices[faces[k][0]]
        b = vertices[faces[k][1]]
        c = vertices[faces[k][2]]
        best = wp.min(
            best, wp.min(_segment_distance(p, a, b), wp.min(_segment_distance(p, b, c), _segment_distance(p, c, a)))
        )
        n = wp.normalize(wp.cross(b - a, c - a))
        height = wp.dot(p - a, n)
        q = p - height * n
        zero = wp.float64(0.0)
        if (
            wp.dot(wp.cross(b - a, q - a), n) >= zero
            and wp.dot(wp.cross(c - b, q - b), n) >= zero
            and wp.dot(wp.cross(a - c, q - c), n) >= zero
        ):
            best = wp.min(best, wp.abs(height))
        # Van Oosterom and Strackee, "The solid angle of a plane triangle", 1983: the sum is 4 pi inside and 0 outside.
        u = a - p
        v = b - p
        w = c - p
        lu = wp.length(u)
        lv = wp.length(v)
        lw = wp.length(w)
        angle += wp.float64(2.0) * wp.atan2(
            wp.dot(u, wp.cross(v, w)), lu * lv * lw + wp.dot(u, v) * lw + wp.dot(v, w) * lu + wp.dot(w, u) * lv
        )
    out_distance[item] = best
    out_solid_angle[item] = angle
