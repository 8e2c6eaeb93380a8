"""Light: closed forms for irradiance, and a shadow where it must be."""

import dataclasses

import numpy as np
import pytest
import trimesh

from nerfstudio_hands.synthesis.light import Room, SoftBox, bake
from nerfstudio_hands.synthesis.studio import Studio, studio


class UniformRoom(Studio):
    """Walls of the same radiance everywhere."""

    def walls(self, directions):
        return np.full((len(directions), 3), 0.7)


def _bake(room: Room, mesh: trimesh.Trimesh, albedo: float):
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces)
    colors = np.full((len(vertices), 3), albedo)
    return np.array(mesh.vertex_normals), bake(room, vertices, faces, colors, shadow_rays=6, ambient_rays=96)


def test_a_convex_body_in_a_uniform_room_receives_pi_times_its_radiance():
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    _, light = _bake(UniformRoom((), np.zeros(3)), sphere, 0.5)
    np.testing.assert_allclose(light.ambient, 0.7 * np.pi, rtol=0.02)
    np.testing.assert_allclose(light.openness, 1, atol=0.02)
    np.testing.assert_allclose(light.scattered, 0, atol=0.02)


def test_in_a_closed_box_no_light_arrives():
    box = trimesh.creation.box(extents=(0.1, 0.1, 0.1)).subdivide().subdivide()
    box.invert()
    room = dataclasses.replace(studio(np.zeros(3), np.random.default_rng(0)))
    _, light = _bake(room, box, 0.5)
    # Rays from the very edges may slip through.
    inner = np.sort(np.abs(np.array(box.vertices)), axis=1)[:, 1] < 0.04
    assert light.ambient[inner].max() < 0.05
    assert np.median(light.visibility[inner]) < 1e-3


def test_soft_box_light_falls_off_as_the_cosine_and_the_far_side_is_dark():
    box = SoftBox(np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.05, 0.0]), np.array([0.05, 0.0, 0.0]), np.full(3, 10.0))
    assert box.normal @ np.array([0, 0, 1.0]) == pytest.approx(-1)
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.02)
    normals, light = _bake(Studio((box,), np.zeros(3)), sphere, 0.5)
    seen = light.visibility.mean(1)
    assert (seen[normals[:, 2] > 0.2] > 0.95).all()
    assert (seen[normals[:, 2] < -0.2] < 0.05).all()


def test_the_studio_shines_on_its_subject():
    center = np.array([0.3, -0.2, 1.0])
    for box in studio(center, np.random.default_rng(4)).boxes:
        toward = (center - box.center) / np.linalg.norm(center - box.center)
        assert box.normal @ toward == pytest.approx(1)


def test_coefficients_give_the_irradiance_of_the_walls():
    room = studio(np.zeros(3), np.random.default_rng(0))
    normal = np.array([[0.0, 0.6, 0.8]])
    found = room.wall_irradiance(normal)
    directions = np.random.default_rng(1).standard_normal((200_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = np.clip(directions @ normal[0], 0, None)
    expected = 4 * np.pi * (room.walls(directions) * cosine[:, None]).mean(0)
    # The second order leaves out a few per cent (Ramamoorthi and Hanrahan 2001: at most 9, on average 1).
    np.testing.assert_allclose(found[0], expected, rtol=0.05)
