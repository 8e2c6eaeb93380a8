"""The shipped grasps: hands touch things and do not enter them, of the mean shape and of other people."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nerfstudio_hands.synthesis.grasps import fit
from nerfstudio_hands.synthesis.grasps.fit import fitted_grasp
from nerfstudio_hands.synthesis.grasps.pool import SHIPPED, TEST_KINDS, read_grasps, shipped_grasps
from nerfstudio_hands.synthesis.grasps.search import DEEPEST, Attempt, Hands, closed, fist_attempt, measured
from nerfstudio_hands.synthesis.grasps.shapes import KINDS, solid
from nerfstudio_hands.synthesis.quick.people import somebody

NONE = np.zeros((15, 3))


@pytest.fixture(scope="module")
def hands() -> Hands:
    return fit.mean_hands("default")


@pytest.mark.parametrize("kind", KINDS)
def test_things_are_closed_and_their_own_mirror_images(kind: str):
    held_object = solid(kind, 3)
    vertices, faces = held_object.mesh(drawn=True)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 5e-6 and mesh.body_count == 1
    assert (vertices.min(0) > held_object.low - 4e-3).all() and (vertices.max(0) < held_object.high + 4e-3).all()
    assert np.abs(held_object.distance(vertices)).max() < 1e-4
    assert np.abs(held_object.distance(vertices * [1, -1, 1])).max() < 1e-4
    assert not np.allclose(held_object.high, solid(kind, 4).high, rtol=1e-2)


def test_true_meshes_are_good_to_a_third_of_a_millimeter():
    """Where functions are distances, so that middles of faces, which lie farthest off, can be measured."""
    for kind in ("box", "cylinder", "torus", "ball"):
        held_object = solid(kind, 1)
        vertices, faces = held_object.mesh(drawn=False)
        assert np.quantile(np.abs(held_object.distance(vertices[faces].mean(1))), 0.99) < 3e-4


def test_things_of_the_test_are_never_learned_from():
    learned, tested = (shipped_grasps(for_testing=part) for part in (False, True))
    assert len(learned) + len(tested) == len(read_grasps(SHIPPED))
    seen = [set(zip(part.kinds, part.seeds.tolist(), strict=True)) for part in (learned, tested)]
    assert not seen[0] & seen[1]
    assert not set(learned.kinds) & set(TEST_KINDS)
    assert set(tested.kinds) == set(KINDS) and set(learned.kinds) == set(KINDS) - set(TEST_KINDS)
    assert 0.2 < learned.is_pinch.mean() < 0.8
    assert SHIPPED.stat().st_size < 300e3


def test_shipped_grasps_touch_with_two_fingers_and_enter_nothing(hands: Hands):
    """By trimesh, which took no part in the search."""
    pool = read_grasps(SHIPPED)
    for row in range(5, len(pool), len(pool) // 6):
        vertices, faces = solid(pool.kinds[row], int(pool.seeds[row])).mesh(drawn=True)
        skin = hands.posed(pool.angles[row : row + 1].astype(float)).vertices[0].double().numpy()
        own = (skin - pool.to_rest[row, :, 3]) @ pool.to_rest[row, :, :3]
        near = np.flatnonzero(((own > vertices.min(0) - 4e-3) & (own < vertices.max(0) + 4e-3)).all(1))
        distance = np.full(len(own), np.inf)
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        distance[near] = -trimesh.proximity.signed_distance(mesh, own[near])
        assert distance.min() > -DEEPEST
        touching = hands.joint[(distance < 2e-3) & (hands.joint >= 0)] // 3
        assert len(np.unique(touching)) >= 2


def test_angles_stay_within_their_limits(hands: Hands):
    angles = read_grasps(SHIPPED).angles
    assert (angles > hands.least - 2e-3).all() and (angles < hands.most + 2e-3).all()


def test_a_hand_closes_around_a_thing(hands: Hands):
    attempt = fist_attempt(hands, solid("cylinder", 4), np.random.default_rng(1))
    angles = closed(hands, [attempt], relax=False)
    assert (angles[0, :, 0] >= attempt.angles[:, 0] - 1e-9).all() and (angles[0, :, 0] > attempt.angles[:, 0]).sum() > 8
    held = measured(hands, attempt, angles[0])
    assert held.is_good and held.fingers.sum() >= 4
    opened = measured(hands, attempt, attempt.angles)
    assert opened.fingers.sum() < held.fingers.sum()
    pressed = measured(
        hands, Attempt(attempt.solid, angles[0], attempt.rotation, attempt.center + [0, 0.01, 0]), angles[0]
    )
    assert pressed.depth > 5e-3 and not pressed.is_good


def test_other_peoples_hands_hold_them_too(monkeypatch):
    pool = shipped_grasps(for_testing=False)
    rows = np.linspace(3, len(pool) - 4, 12).astype(int)
    people = [somebody("default", number).own for number in (2, 6, 11)]

    def depths() -> np.ndarray:
        found = [fitted_grasp("default", people[k % 3], pool, int(row), NONE).depth for k, row in enumerate(rows)]
        return np.maximum(found, 0)

    fitted = depths()
    assert np.median(fitted) == 0 and np.quantile(fitted, 0.8) < 1e-3
    monkeypatch.setattr(fit, "STEPS", 0)
    assert depths().mean() > 2 * fitted.mean() + 3e-4


def test_fingers_that_are_bent_into_a_thing_open_again(monkeypatch):
    pool, own, inwards = shipped_grasps(for_testing=False), somebody("default", 2).own, NONE.copy()
    inwards[:, 0] = np.radians(6)

    def depth() -> float:
        return float(np.median([fitted_grasp("default", own, pool, row, inwards).depth for row in range(7, 400, 40)]))

    assert depth() < 2e-3
    monkeypatch.setattr(fit, "STEPS", 0)
    assert depth() > 4e-3
