"""The subject: anatomy that agrees with the model, poses that bend the right way, a forearm that continues the hand."""

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.geometry.topology import closing_faces
from nerfstudio_hands.hand_model.gestures import gesture
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes
from nerfstudio_hands.hand_model.joints import FINGERS, SIDES, TIP_JOINTS
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis.anatomy import read_anatomy
from nerfstudio_hands.synthesis.motion_sequence import pose_sequence, posed_surfaces
from nerfstudio_hands.synthesis.range_of_motion import opening_and_closing
from nerfstudio_hands.synthesis.scene import FINE
from nerfstudio_hands.synthesis.skin import MAX_RELIEF, Skin
from nerfstudio_hands.synthesis.skin_features import nails
from nerfstudio_hands.synthesis.subject import make_subject

CENTER = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def both():
    subject = make_subject(SIDES, subdivisions=1, quality=FINE, seed=3)
    motions = opening_and_closing(SIDES, 1)
    return subject, pose_sequence("", np.arange(1), motions, subject, CENTER)


def _skins(subject, motion):
    """Vertices and faces of the rendered skin, by side."""
    return [(vertices, mesh.faces) for mesh, vertices in posed_surfaces(subject, motion, 0) if mesh.kind == "skin"]


@pytest.mark.parametrize("finger", FINGERS)
def test_nails_face_the_way_that_a_bending_finger_leaves(finger):
    model = default_hand("right")
    anatomy = read_anatomy(model)
    tip = TIP_JOINTS[FINGERS.index(finger)]

    def tip_of(*bend: float) -> np.ndarray:
        angles = np.radians(gesture(**{finger: bend}))
        rotations = angles_to_rotations(joint_axes(model), torch.from_numpy(angles).float())
        zero = torch.zeros(1, 3)
        return pose_hand(model, zero, rotations[None], zero, torch.zeros(1)).keypoints[0, tip].double().numpy()

    rest = tip_of(0.0, 0.0, 0.0)
    np.testing.assert_allclose(rest, anatomy.joints[tip], atol=1e-6)
    assert (tip_of(20.0, 20.0, 20.0) - rest) @ anatomy.back[tip - 3] < -5e-3


def test_a_relaxed_hand_is_open_and_a_half_closed_one_reaches_less_far():
    right = opening_and_closing(("right",), 2)["right"]
    zero = torch.zeros(2, 3)
    keypoints = pose_hand(default_hand("right"), zero, right.local_rotations, zero, torch.zeros(1)).keypoints
    reach = (keypoints[:, list(TIP_JOINTS[1:])] - keypoints[:, :1]).norm(dim=-1)
    rest = pose_hand(default_hand("right"), zero, torch.zeros(2, 15, 3), zero, torch.zeros(1)).keypoints
    straight = (rest[:, list(TIP_JOINTS[1:])] - rest[:, :1]).norm(dim=-1)
    assert (reach[0] > 0.95 * straight[0]).all() and (reach[1] < 0.9 * straight[0]).all()


def test_the_surface_passes_through_the_models_vertices_but_for_the_relief(both):
    subject, motion = both
    for s, (surface, _) in enumerate(_skins(subject, motion)):
        model = motion.vertices[0, s]
        offset = np.linalg.norm(surface[: len(model)] - model, axis=1)
        assert offset.max() < 1e-3
        # A displacement that no shape coefficient reaches is there.
        assert np.median(offset) > 2e-5


def test_hands_mirror_each_other(both):
    subject, motion = both
    left, right = motion.vertices[0]
    np.testing.assert_allclose(left, right * [-1, 1, 1], atol=2e-5)
    # Skin is the same on both, so the relief mirrors as well. (The rings of the forearms run the other way round.)
    (left_skin, _), (right_skin, _) = _skins(subject, motion)
    np.testing.assert_allclose(left_skin[: len(left)], right_skin[: len(left)] * [-1, 1, 1], atol=1e-4)


def test_the_skin_is_one_open_tube_wound_outwards(both):
    for surface, faces in _skins(*both):
        mesh = trimesh.Trimesh(surface, faces, process=False)
        assert mesh.is_winding_consistent
        assert mesh.euler_number == 1
        lid = closing_faces(torch.from_numpy(faces)).numpy()
        closed = trimesh.Trimesh(surface, np.concatenate([faces, lid]), process=False)
        assert closed.is_watertight and 2e-4 < closed.volume < 8e-4


def test_nails_are_on_the_backs_of_the_fingertips(both):
    subject, _ = both
    points = subject.hands["right"].skin.points
    plate = nails(subject.hands["right"].person.anatomy, points).plate > 0.5
    assert plate.any()
    distance = np.linalg.norm(
        points.position[plate][:, None] - subject.hands["right"].person.anatomy.joints[[4, 8, 12, 16, 20]], axis=-1
    )
    assert (distance.min(1) < 0.02).all()
    assert set(distance.argmin(1)) == {0, 1, 2, 3, 4}
    assert (points.dorsal[plate] > 0).all()


def test_relief_stays_small_and_skin_reflects_less_than_it_receives(both):
    subject, _ = both
    points = subject.hands["right"].skin.points
    skin = Skin(subject.hands["right"].person.anatomy, 11)
    relief = skin.relief(points)
    assert 1e-4 < np.abs(relief).max() <= MAX_RELIEF * 1e-3
    look = skin.material(points)
    assert 0 < look.albedo.min() and look.albedo.max() < 0.95
    # Skin is redder than it is green and greener than it is blue, everywhere.
    assert (look.albedo[:, 0] > look.albedo[:, 1]).all() and (look.albedo[:, 1] > look.albedo[:, 2]).mean() > 0.99
