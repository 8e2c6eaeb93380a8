"""Hands that the shape space does not hold: what each option changes, by how much, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from helpers.grainy import grainy

from nerfstudio_hands.geometry.topology import boundary_loops, edges
from nerfstudio_hands.hand_model.joints import FINGERS, SIDES, TIP_JOINTS
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.model import mirror_rotations, pose_hand
from nerfstudio_hands.synthesis.anatomy import read_anatomy
from nerfstudio_hands.synthesis.interhand import synthesize_interhand
from nerfstudio_hands.synthesis.options import InterHandOptions, SubjectOptions
from nerfstudio_hands.synthesis.physique import personal_hand

SHAPE = torch.tensor([0.5, -0.8, 0.3, 0.9, -0.2, 0.4, -0.6, 0.1, 0.7, -0.3])
ALL = SubjectOptions(1.15, 0.9, 1.06, 0.03, 1.1, 3.0, 0.7)


def _hand(side: str = "right", **options: float):
    return personal_hand(side, SHAPE, SubjectOptions(**options), seed=2)


def _keypoints(hand) -> np.ndarray:
    zeros = torch.zeros(1, 3)
    return hand.pose(zeros, torch.zeros(1, 15, 3), zeros).keypoints[0].double().numpy()


def _area(hand, origin: np.ndarray, normal: np.ndarray) -> float:
    """Area of the cut through the skin that goes round a point."""
    mesh = trimesh.Trimesh(hand.rest.numpy(), hand.model.faces.numpy(), process=False)
    outlines = mesh.section(plane_normal=normal, plane_origin=origin).discrete
    near = min((line for line in outlines), key=lambda line: np.linalg.norm(line.mean(0) - origin))
    arms = near - near.mean(0)
    return abs(0.5 * np.cross(arms[:-1], arms[1:]).sum(0) @ normal) / np.linalg.norm(normal)


@pytest.mark.parametrize("finger", FINGERS)
@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_fingers_of_another_thickness_have_the_same_joints(finger: str, factor: float):
    plain, other = _hand(), _hand(finger_thickness=factor)
    joints = _keypoints(plain)
    np.testing.assert_allclose(_keypoints(other), joints, atol=1e-5)
    # The bone before the last is far from the palm, where the change fades out, on the thumb too.
    a, b = joints[TIP_JOINTS[FINGERS.index(finger)] - 2 :][:2]
    cut = 0.5 * (a + b), b - a
    assert _area(other, *cut) / _area(plain, *cut) == pytest.approx(factor**2, rel=0.02)


def test_a_palm_and_a_wrist_of_another_thickness_leave_the_fingers_alone():
    plain = _hand()
    palm, wrist = _hand(palm_thickness=1.15), _hand(wrist_width=1.2)
    joints = _keypoints(plain)
    in_palm = (0.5 * (joints[0] + joints[9]), joints[9] - joints[0])
    assert 1.1 < _area(palm, *in_palm) / _area(plain, *in_palm) < 1.17
    rim = boundary_loops(plain.model.faces)[0]
    sizes = [np.ptp(hand.rest.numpy()[rim, 1:], axis=0) for hand in (plain, wrist)]
    np.testing.assert_allclose(sizes[1] / sizes[0], 1.2, atol=0.02)
    weights = plain.model.weights.numpy()
    on_fingers = (weights[:, 1:13].sum(1) > 0.95) | (weights[:, 14:].sum(1) > 0.95)
    for hand in (palm, wrist):
        np.testing.assert_allclose(_keypoints(hand), joints, atol=1e-5)
        assert np.abs((hand.rest - plain.rest).numpy()[on_fingers]).max() < 6e-4


def test_longer_fingers_move_their_joints_and_no_other():
    plain, longer = _keypoints(_hand()), _keypoints(_hand(finger_length=1.1))
    for tip in TIP_JOINTS:
        bones = [np.linalg.norm(np.diff(joints[tip - 3 : tip + 1], axis=0), axis=1) for joints in (plain, longer)]
        ratio = bones[1] / bones[0]
        # The thumb's first bone lies in the palm.
        expected = [1.0, 1.1, 1.1] if tip == 4 else [1.1, 1.1, 1.1]
        np.testing.assert_allclose(ratio, expected, atol=0.02)
        assert np.linalg.norm(longer[tip - 3] - plain[tip - 3]) < 1e-3
    varied = _keypoints(_hand(finger_variation=0.05))
    lengths = [
        np.linalg.norm(joints[list(TIP_JOINTS)] - joints[[2, 5, 9, 13, 17]], axis=1) for joints in (plain, varied)
    ]
    assert 0.01 < np.std(lengths[1] / lengths[0]) < 0.1


def test_nails_grow_over_the_tips_on_their_backs_alone():
    plain, grown = _hand(), _hand(nail_length=4.0)
    offset = (grown.rest - plain.rest).double().numpy() * 1e3
    anatomy = read_anatomy(replace(plain.model, template=plain.rest))
    moved = np.linalg.norm(offset, axis=1) > 0.2
    assert np.linalg.norm(_keypoints(grown) - _keypoints(plain), axis=1).max() < 1e-4
    seen = np.zeros(len(offset), dtype=bool)
    for tip in TIP_JOINTS:
        along, _, back = anatomy.local(plain.rest.double().numpy(), tip).T
        near = moved & (np.abs(along) < 12) & (np.linalg.norm(plain.rest.numpy() - anatomy.joints[tip], axis=1) < 0.015)
        seen |= near
        growth = offset[near] @ anatomy.along[tip]
        assert 3.6 < growth.max() < 4.01 and growth.min() > 0 and back[near].min() > 0
        reach = [
            (surface.double().numpy()[near] - anatomy.joints[tip]) @ anatomy.along[tip]
            for surface in (plain.rest, grown.rest)
        ]
        assert 2.5 < 1e3 * (reach[1].max() - reach[0].max()) < 4.5
    assert (seen == moved).all()


def test_bumps_have_the_size_that_was_asked_for_and_another_seed_has_others():
    offsets = [
        personal_hand("right", SHAPE, SubjectOptions(skin_displacement=0.8), seed).displacement for seed in (2, 3)
    ]
    for offset in offsets:
        assert float(offset.norm(dim=1).square().mean().sqrt()) == pytest.approx(0.8e-3, rel=0.05)
    assert abs(float(torch.nn.functional.cosine_similarity(*[o.flatten() for o in offsets], dim=0))) < 0.4


def test_what_changes_fades_out_smoothly():
    plain, other = _hand(), _hand(finger_thickness=1.15, palm_thickness=0.85, wrist_width=1.15, finger_length=1.08)
    a, b = edges(plain.model.faces)[0].T
    change = other.rest - plain.rest
    strain = (change[a] - change[b]).norm(dim=1) / (plain.rest[a] - plain.rest[b]).norm(dim=1)
    assert strain.max() < 0.45 and strain.quantile(0.99) < 0.25


def test_the_left_hand_is_the_mirror_image_in_every_pose():
    left, right = (personal_hand(side, SHAPE, ALL, 5) for side in SIDES)
    generator = torch.Generator().manual_seed(0)
    turn, local = (0.4 * torch.randn(1, *size, generator=generator) for size in ((3,), (15, 3)))
    zeros = torch.zeros(1, 3)
    posed = right.pose(turn, local, zeros), left.pose(mirror_rotations(turn), mirror_rotations(local), zeros)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(posed[0].vertices * flip, posed[1].vertices, atol=1e-6)
    np.testing.assert_allclose(posed[0].keypoints * flip, posed[1].keypoints, atol=1e-6)


def test_a_hand_without_a_physique_is_one_of_the_shape_space():
    hand = _hand()
    assert torch.equal(hand.model.template, default_hand("right").template) and hand.displacement is None


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    options = InterHandOptions(num_cameras=1, frames=1, supersampling=1, subdivisions=2, subject=ALL)
    with grainy():
        return synthesize_interhand(tmp_path_factory.mktemp("physique") / "capture", options)


def test_the_truth_of_a_capture_is_the_changed_hand(capture):
    subject = np.load(capture / "truth" / "subject.npz")
    truth = np.load(capture / "truth" / "ROM03_RT_No_Occlusion.npz")
    side = SIDES.index("right")
    model = replace(default_hand("right"), template=torch.from_numpy(subject["template"][side]))
    arrays = [torch.from_numpy(truth[key][:, side]) for key in ("global_orient", "local_rotations", "translation")]
    shape, displacement = torch.from_numpy(subject["shape"]).float(), torch.from_numpy(subject["displacement"][side])
    posed = pose_hand(model, *arrays, shape, displacement)
    np.testing.assert_allclose(truth["vertices"][:, side], posed.vertices.numpy(), atol=1e-6)
    np.testing.assert_allclose(truth["keypoints"][:, side], posed.keypoints.numpy(), atol=1e-6)
    rest = subject["rest_vertices"][side]
    np.testing.assert_allclose(
        subject["rest_joints"][side],
        default_hand("right").joint_regressor.numpy() @ (rest - displacement.numpy()),
        atol=1e-6,
    )
    # No shape of the shape space comes near.
    directions = default_hand("right").shape_dirs.numpy().reshape(-1, default_hand("right").num_shape)
    offset = (rest - default_hand("right").template.numpy()).ravel()
    left_over = offset - directions @ np.linalg.lstsq(directions, offset, rcond=None)[0]
    assert np.linalg.norm(left_over.reshape(-1, 3), axis=1).mean() > 1e-3
    assert json.loads((capture / "truth" / "options.json").read_text())["subject"]["finger_thickness"] == 1.15
