"""The subject: anatomy that agrees with the model, poses that bend the right way, a forearm that continues the hand."""

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.geometry.mesh import closing_faces
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis.anatomy import SurfacePoints, read_anatomy
from nerfstudio_hands.synthesis.pose import FingerPose, local_rotations
from nerfstudio_hands.synthesis.skin import MAX_RELIEF, Skin
from nerfstudio_hands.synthesis.skin_features import nails
from nerfstudio_hands.synthesis.subject import make_subject, pose_subject

CENTRE = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def both():
    subject = make_subject(("left", "right"), subdivisions=1, seed=3)
    return subject, pose_subject(subject, CENTRE, 0.0)


@pytest.mark.parametrize("finger", [0, 1, 2, 3, 4])
def test_bending_moves_the_tip_to_the_palm_and_spreading_to_the_thumb(finger):
    model = default_hand("right")
    anatomy = read_anatomy(model)
    name = ("thumb", "index", "middle", "ring", "pinky")[finger]
    tip = 4 + 4 * finger

    def tip_of(pose: FingerPose) -> np.ndarray:
        rotations = local_rotations(anatomy, {name: pose})
        zero = torch.zeros(1, 3)
        return pose_hand(model, zero, rotations[None], zero, torch.zeros(1)).keypoints[0, tip].double().numpy()

    rest = tip_of(FingerPose((0, 0, 0), 0))
    np.testing.assert_allclose(rest, anatomy.joints[tip], atol=1e-6)
    assert (tip_of(FingerPose((20, 20, 20), 0)) - rest) @ anatomy.back[tip - 3] < -5e-3
    if finger:
        assert (tip_of(FingerPose((0, 0, 0), 10)) - rest)[2] > 5e-3


def test_the_surface_passes_through_the_models_vertices_but_for_the_relief(both):
    subject, hands = both
    for hand in hands:
        offset = np.linalg.norm(hand.surface[: len(hand.vertices)] - hand.vertices, axis=1)
        assert offset.max() < 1e-3
        # A displacement that no shape coefficient reaches is there.
        assert np.median(offset) > 2e-5


def test_hands_mirror_each_other(both):
    _, (left, right) = both
    mirrored = right.vertices * [-1, 1, 1]
    np.testing.assert_allclose(left.vertices, mirrored, atol=2e-5)
    # Skin is the same on both, so the relief mirrors as well. (The rings of the forearms run the other way round.)
    count = len(left.vertices)
    np.testing.assert_allclose(left.surface[:count], right.surface[:count] * [-1, 1, 1], atol=1e-4)


def test_the_skin_is_one_open_tube_wound_outwards(both):
    _, hands = both
    for hand in hands:
        mesh = trimesh.Trimesh(hand.surface, hand.faces, process=False)
        assert mesh.is_winding_consistent
        assert mesh.euler_number == 1
        lid = closing_faces(torch.from_numpy(hand.faces)).numpy()
        closed = trimesh.Trimesh(hand.surface, np.concatenate([hand.faces, lid]), process=False)
        assert closed.is_watertight and 2e-4 < closed.volume < 8e-4


def test_nails_are_on_the_backs_of_the_fingertips(both):
    subject, _ = both
    right = subject.tessellations[1]
    points = SurfacePoints(right.canonical, right.finger, right.dorsal)
    plate = nails(subject.anatomy, points).plate > 0.5
    assert plate.any()
    distance = np.linalg.norm(right.canonical[plate][:, None] - subject.anatomy.joints[[4, 8, 12, 16, 20]], axis=-1)
    assert (distance.min(1) < 0.02).all()
    assert set(distance.argmin(1)) == {0, 1, 2, 3, 4}
    assert (right.dorsal[plate] > 0).all()


def test_relief_stays_small_and_skin_reflects_less_than_it_receives(both):
    subject, _ = both
    tessellation = subject.tessellations[1]
    points = SurfacePoints(tessellation.canonical, tessellation.finger, tessellation.dorsal)
    skin = Skin(subject.anatomy, 11)
    relief = skin.relief(points)
    assert 1e-4 < np.abs(relief).max() <= MAX_RELIEF * 1e-3
    look = skin.appearance(points)
    assert 0 < look.albedo.min() and look.albedo.max() < 0.95
    # Skin is redder than it is green and greener than it is blue, everywhere.
    assert (look.albedo[:, 0] > look.albedo[:, 1]).all() and (look.albedo[:, 1] > look.albedo[:, 2]).mean() > 0.99
