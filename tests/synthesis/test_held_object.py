"""Objects to hold: closed meshes on the surface that their functions say, and known volumes."""

import math

import numpy as np
import pytest
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis import held_object
from nerfstudio_hands.synthesis.anatomy import SkinPoints
from nerfstudio_hands.synthesis.held_object import BOX, CYLINDER, ROUNDING, SHAPES, check_object, make_object


@pytest.fixture(scope="module")
def objects():
    return {kind: make_object(kind, 0) for kind in SHAPES}


@pytest.mark.parametrize("kind", SHAPES)
def test_meshes_are_closed_and_face_outwards(objects, kind):
    held = objects[kind]
    mesh = trimesh.Trimesh(held.vertices, held.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    # A mug has one hole, in its handle; the others have none.
    assert mesh.euler_number == (0 if kind == "mug" else 2)
    assert np.abs(held.vertices[:, 1].min() + held.vertices[:, 1].max()) < 1e-4


def test_volumes_are_those_of_rounded_solids(monkeypatch):
    monkeypatch.setattr(held_object, "SIZE_SPREAD", 0.0)
    volume = {
        kind: trimesh.Trimesh(o.vertices, o.faces).volume
        for kind in ("box", "cylinder")
        for o in [make_object(kind, 0)]
    }
    # Steiner's formula: a solid grown by a ball, here the core of each.
    r, (a, b, c) = ROUNDING, 2 * (np.array(BOX) - ROUNDING)
    core = a * b * c + 2 * (a * b + b * c + c * a) * r + math.pi * (a + b + c) * r**2 + 4 / 3 * math.pi * r**3
    assert volume["box"] == pytest.approx(core, rel=0.01)
    radius, half = CYLINDER[0] - r, CYLINDER[1] - r
    core = 2 * math.pi * radius**2 * half + (2 * math.pi * radius**2 + 4 * math.pi * radius * half) * r
    core += math.pi * (math.pi * radius + 2 * half) * r**2 + 4 / 3 * math.pi * r**3
    assert volume["cylinder"] == pytest.approx(core, rel=0.01)


def test_looks_have_patterns(objects):
    for held in objects.values():
        look = held.material(SkinPoints.off_skin(held.vertices))
        assert (look.albedo > 0).all() and (look.albedo < 1).all()
        assert look.albedo.std(0).max() > 0.05
    other = make_object("box", 1)
    assert not np.allclose(np.ptp(other.vertices, axis=0), np.ptp(objects["box"].vertices, axis=0), rtol=1e-3)


def test_what_cannot_be_held_is_refused():
    check_object(None, num_hands=2)
    check_object("mug", num_hands=1)
    with pytest.raises(HandsError, match="--object: expected box, cylinder, mug, superquadric or none, found 'pen'"):
        check_object("pen", num_hands=1)
    with pytest.raises(HandsError, match="expected a single hand"):
        check_object("mug", num_hands=2)
