from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.raster.rasterize import rasterize
from nerfstudio_hands.geometry.raster.vertex_images import DirectedLight, LitSurface, draw_colors, lit_vertices

K = np.array([[90.0, 0, 34], [0, 90.0, 30], [0, 0, 1]])
TOWARD_CAMERA = np.diag([1.0, -1.0, -1.0])[None].astype(np.float32)
"""The frame of light that comes from behind the camera."""


def sphere(radius: float, place: tuple[float, float, float], label: int = 0) -> LitSurface:
    ball = trimesh.creation.icosphere(4, radius)
    normals = np.array(ball.vertices / radius, np.float32)
    return LitSurface(
        vertices=normals * np.float32(radius) + np.float32(place),
        normals=normals,
        albedo=np.full_like(normals, 0.5),
        gloss=np.tile(np.float32([1.0, 0.0]), (len(normals), 1)),
        faces=ball.faces.astype(np.int32),
        labels=np.full(len(ball.faces), label, np.int32),
        casting=ball.faces.astype(np.int32),
    )


def one_lamp(power: float = 2.0) -> DirectedLight:
    return DirectedLight(TOWARD_CAMERA, np.full((1, 3), power, np.float32), np.zeros(1, np.float32))


def test_coverage_is_that_of_the_rasterizer():
    ball = sphere(0.1, (0.02, 0.03, 0.4))
    _, coverage = draw_colors(ball, ball.albedo, K, 64, samples=2, layers=2)
    double = torch.from_numpy(np.diag([2.0, 2.0, 1.0]) @ K).float()
    surfaces = Surfaces(torch.from_numpy(ball.faces).long(), torch.from_numpy(ball.vertices)[None])
    exact = (rasterize(surfaces, double, torch.eye(4), 128, 128).face >= 0).float().view(64, 2, 64, 2).mean((1, 3))
    assert np.abs(coverage[..., 0] - exact.numpy()).max() <= 0.25
    assert np.abs(coverage[..., 0] - exact.numpy()).mean() < 1e-3
    assert not coverage[..., 1].any()


def test_colors_are_those_of_the_nearest_face():
    far, near = sphere(0.1, (0, 0, 0.6)), sphere(0.03, (0, 0, 0.3), 1)
    both = LitSurface(
        *(np.concatenate([getattr(far, n), getattr(near, n)]) for n in ("vertices", "normals", "albedo", "gloss")),
        np.concatenate([far.faces, near.faces + len(far.vertices)]),
        np.concatenate([far.labels, near.labels]),
        far.casting,
    )
    colors = np.concatenate([np.full_like(far.albedo, 1.0), np.full_like(near.albedo, 3.0)])
    color, coverage = draw_colors(both, colors, K, 64, samples=2, layers=2)
    assert color[30, 34] == pytest.approx(3) and coverage[30, 34].tolist() == [0, 1]
    assert color[30, 34 + 12] == pytest.approx(1) and coverage[30, 34 + 12].tolist() == [1, 0]


def test_a_dull_sphere_is_lit_by_the_cosine():
    ball = sphere(0.05, (0, 0, 0.5))
    radiance = lit_vertices(ball, one_lamp(), np.array([0, 0, 0.5]), 0.08, (0.0, 0.0, 0.0))
    cosine = -ball.normals[:, 2]
    facing = cosine > 0.3
    assert np.allclose(radiance[facing], 0.5 * 2.0 * cosine[facing, None], atol=0.02)
    assert radiance[cosine < -0.1].max() == 0


def test_what_is_behind_something_lies_in_its_shadow():
    far, near = sphere(0.05, (0, 0, 0.5)), sphere(0.02, (0, 0, 0.4))
    both = LitSurface(
        *(np.concatenate([getattr(far, n), getattr(near, n)]) for n in ("vertices", "normals", "albedo", "gloss")),
        far.faces,
        far.labels,
        np.concatenate([far.faces, near.faces + len(far.vertices)]),
    )
    radiance = lit_vertices(both, one_lamp(), np.array([0, 0, 0.48]), 0.1, (0.0, 0.0, 0.0))[: len(far.vertices)]
    off_axis = np.linalg.norm(far.vertices[:, :2], axis=1)
    front = far.normals[:, 2] < -0.3
    assert radiance[front & (off_axis < 0.015)].max() < 0.3
    assert radiance[front & (off_axis > 0.027) & (off_axis < 0.035)].min() > 0.6


def test_faces_behind_the_camera_are_left_out():
    ball = sphere(0.05, (0, 0, -0.3))
    _, coverage = draw_colors(ball, ball.albedo, K, 32, samples=1, layers=1)
    assert not coverage.any()
