"""Points round a hand and a thing: their distances, also of things whose mesh has holes or no inside."""

from __future__ import annotations

import pickle

import numpy as np
import trimesh
from helpers.made_up_grasps import MadeUpGrasps

from nerfstudio_hands.hand_images.hand_image import HeldMesh
from nerfstudio_hands.hand_images.query_points import QueryPointDraw
from nerfstudio_hands.transforms.rigid import apply_rigid


class WithHoles(MadeUpGrasps):
    """The things lack a few faces, or are doubled."""

    def held_mesh(self, name: str) -> HeldMesh:
        whole = super().held_mesh(name)
        if name == "ball-0":
            return HeldMesh(whole.vertices, whole.faces[4:])
        return HeldMesh(whole.vertices, np.concatenate([whole.faces, whole.faces[:, ::-1]]))


def test_distances_of_things_are_those_of_another_library():
    source = MadeUpGrasps(2)
    labels, draw = source.labels(1), QueryPointDraw(source, 200, 0.28)
    found = pickle.loads(pickle.dumps(draw))([labels], np.random.default_rng(0))[0]
    mesh = source.held_mesh(labels.held.name)
    own = apply_rigid(np.linalg.inv(labels.held.to_camera), found.points.astype(float))
    expected = -trimesh.proximity.signed_distance(trimesh.Trimesh(mesh.vertices, mesh.faces), own)
    assert np.abs(found.distances[:, 1] - expected).max() < 1e-5
    assert found.of_object.sum() == 100 and np.median(np.abs(found.distances[found.of_object, 1])) < 0.01
    assert np.median(np.abs(found.distances[~found.of_object, 0])) < 0.01
    assert np.array_equal(draw([labels], np.random.default_rng(0))[0].distances, found.distances)


def test_holes_do_no_harm_and_what_has_no_inside_has_no_distances(capsys):
    source, whole = WithHoles(2), MadeUpGrasps(2)
    draw = QueryPointDraw(source, 200, 0.28)
    found = draw([source.labels(0)], np.random.default_rng(0))[0]
    same = found.points[:100]
    expected = QueryPointDraw(whole, 200, 0.28)([whole.labels(0)], np.random.default_rng(0))[0]
    assert np.array_equal(same, expected.points[:100])
    assert np.abs(found.distances[:100, 1] - expected.distances[:100, 1]).max() < 2e-3
    for _ in range(2):
        doubled = draw([source.labels(1)], np.random.default_rng(0))[0]
        assert np.isnan(doubled.distances[:, 1]).all() and np.isfinite(doubled.distances[:, 0]).all()
    assert capsys.readouterr().out.count("ball-2: expected a mesh with an inside") == 1
