"""Distances to held things: closed meshes, meshes with holes, meshes without an inside, and grids."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import trimesh

from nerfstudio_hands.hand_images.hand_image import HeldMesh
from nerfstudio_hands.hand_images.held_meshes import (
    HeldDistances,
    HeldSurface,
    check_meshes,
    is_closed,
    signed_distances,
)


def held(shape: trimesh.Trimesh, keep: slice | np.ndarray = slice(None)) -> HeldMesh:
    return HeldMesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces)[keep])


BALL = trimesh.creation.icosphere(3, 0.05)
BOX = trimesh.creation.box((0.08, 0.05, 0.16))


def without_cap(height: float) -> HeldMesh:
    return held(BALL, BALL.triangles_center[:, 2] < height)


def double_sided() -> HeldMesh:
    return HeldMesh(np.asarray(BOX.vertices, np.float32), np.concatenate([BOX.faces, BOX.faces[:, ::-1]]))


def split_corners() -> HeldMesh:
    """Every face has vertices of its own, as textures and STL make them."""
    return HeldMesh(BOX.triangles.reshape(-1, 3).astype(np.float32), np.arange(3 * len(BOX.faces)).reshape(-1, 3))


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 0.1, (2000, 3))


def box_distance(points: np.ndarray) -> np.ndarray:
    """Of `BOX`, from the formula of boxes."""
    beyond = np.abs(points) - np.array([0.04, 0.025, 0.08])
    return np.linalg.norm(beyond.clip(0), axis=1) + beyond.max(1).clip(max=0)


@pytest.mark.parametrize("mesh", [held(BOX), split_corners(), HeldMesh(held(BOX).vertices, BOX.faces[:, ::-1].copy())])
def test_distances_are_those_of_the_formula(mesh: HeldMesh, points: np.ndarray):
    """However faces are stored, and though they be wound inside out."""
    assert HeldSurface(mesh).is_closed
    assert np.abs(signed_distances(mesh, points) - box_distance(points)).max() < 1e-6


def test_parts_that_pass_through_each_other_have_one_inside(points: np.ndarray):
    other = BOX.copy().apply_translation([0, 0, 0.05])
    both = held(trimesh.util.concatenate([BOX, other]))
    inside = (box_distance(points) < 0) | (box_distance(points - [0, 0, 0.05]) < 0)
    assert np.array_equal(signed_distances(both, points) < 0, inside)


def test_a_hole_does_not_turn_the_inside_out(points: np.ndarray):
    mesh = without_cap(0.049)
    away = np.abs(np.linalg.norm(points, axis=1) - 0.05) > 2e-3
    # Not where the ball is a polyhedron or its cap is missing.
    away &= (points[:, 2] < 0.045) | (np.linalg.norm(points, axis=1) > 0.06)
    expected = np.linalg.norm(points[away], axis=1) < 0.05
    assert not is_closed(mesh.faces)
    assert np.array_equal(signed_distances(mesh, points[away]) < 0, expected)


def test_meshes_without_an_inside_are_named_and_counted():
    meshes = {
        "ball": held(BALL),
        "small hole": without_cap(0.049),
        "bowl": without_cap(0.0),
        "paper": double_sided(),
    }
    check = check_meshes(meshes, meshes.__getitem__)
    assert (check.closed, check.by_winding, sorted(check.failed)) == (1, ("small hole",), ["bowl", "paper"])
    assert "of the boundary of its inside is a hole" in check.failed["bowl"] and "100%" in check.failed["paper"]
    assert check.summary().startswith("4 held meshes:") and "bowl (" in check.summary()


def test_a_mesh_without_an_inside_gives_no_distances_and_is_named_once(points: np.ndarray, capsys):
    meshes = {"bowl": without_cap(0.0), "ball": held(BALL), "paper": double_sided()}
    known = HeldDistances(meshes.__getitem__)
    for name in ("bowl", "ball", "bowl", "paper", "bowl"):
        assert np.isnan(known.distances(name, points)).all() == (name != "ball")
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["bowl", "paper"]
    assert said[1].endswith("Such meshes so far: 2.")


def test_a_grid_takes_over_once_a_mesh_was_asked_for_often(points: np.ndarray):
    asked = []
    known = HeldDistances(lambda name: asked.append(name) or held(BOX), side=32)
    near = points[np.abs(box_distance(points)) < 0.02]
    exact = known.distances("box", near)
    assert np.abs(exact - box_distance(near)).max() < 1e-6
    for _ in range(32**3 // len(near) + 1):
        found = known.distances("box", near)
    assert asked == ["box"]
    assert 0 < np.abs(found - exact).max() < 3e-3 and np.abs(found - exact).mean() < 2e-4


def test_the_error_of_a_grid_is_what_its_docstring_says():
    known = HeldDistances(lambda name: held(BOX))
    on_it = trimesh.sample.sample_surface(BOX, 4000, seed=1)[0]
    near = on_it + np.random.default_rng(0).normal(0, 0.005, on_it.shape)
    known._asked["box"] = 64**3
    off = 1e3 * np.abs(known.distances("box", near) - box_distance(near))
    assert off.mean() < 0.05 and off.max() < 1.5
    far = np.random.default_rng(1).uniform(-0.3, 0.3, (500, 3))
    assert (known.distances("box", far) - box_distance(far)).min() > -2e-3
    assert (known.distances("box", far)[np.abs(far[:, 0]) > 0.08] > 0.03).all()


def test_memory_is_bounded_and_nothing_of_it_travels(points: np.ndarray):
    asked = []
    known = HeldDistances(lambda name: asked.append(name) or held(BOX), most_bytes=2 * 12 * 250)
    for name in ("a", "b", "a", "c", "a", "b"):
        known.distances(name, points[:10])
    assert asked == ["a", "b", "c", "b"]
    plain = HeldDistances(box_mesh)
    plain.distances("a", points[:10])
    assert len(pickle.dumps(plain)) < 300
    assert np.allclose(pickle.loads(pickle.dumps(plain)).distances("a", points), box_distance(points), atol=1e-6)


def box_mesh(name: str) -> HeldMesh:
    return held(BOX)
