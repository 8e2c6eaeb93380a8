"""Figures of hand and object against brute force, spheres and known transforms."""

import math

import numpy as np
import pytest
import torch
import trimesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_object_metrics import (
    Alignment,
    align_scale_and_translation,
    hand_object_scores,
    penetration,
    shape_scores,
)
from nerfstudio_hands.evaluation.mesh_metrics import Mesh, sample_surface
from nerfstudio_hands.hand_model import default_hand


def _mesh(shape: trimesh.Trimesh, shift=(0.0, 0.0, 0.0)) -> Mesh:
    return Mesh(torch.tensor(shape.vertices + shift).float(), torch.tensor(shape.faces.copy()))


def _ball(radius: float, shift=(0.0, 0.0, 0.0)) -> Mesh:
    return _mesh(trimesh.creation.icosphere(subdivisions=4, radius=radius), shift)


def _hand() -> Mesh:
    hand = default_hand("right")
    return Mesh(hand.template, hand.faces)


def test_chamfer_and_f_scores_agree_with_all_pairs_of_points():
    mesh, truth = _hand(), Mesh(_hand().vertices * 1.03 + torch.tensor([0.002, 0.0, -0.001]), _hand().faces)
    scores = shape_scores(mesh, truth, thresholds=(1, 5), num_samples=1500, seed=4)
    here, there = (sample_surface(m, 1500, seed=s) for m, s in ((mesh, 8), (truth, 9)))
    pairs = torch.cdist(here.points.double() * 100, there.points.double() * 100)
    forth, back = pairs.amin(1), pairs.amin(0)
    assert scores.chamfer == pytest.approx(float(forth.square().mean() + back.square().mean()), rel=1e-9)
    for threshold in (1, 5):
        p, r = (float((d < threshold / 10).double().mean()) for d in (forth, back))
        assert scores.f_scores[threshold] == pytest.approx(2 * p * r / (p + r), rel=1e-9)
    assert 0.05 < scores.f_scores[1] < scores.f_scores[5] < 1.0
    cosine = (here.normals[pairs.argmin(0)] * there.normals).sum(1).abs().mean() / 2
    cosine += (here.normals * there.normals[pairs.argmin(1)]).sum(1).abs().mean() / 2
    assert scores.normal_consistency == pytest.approx(float(cosine), rel=1e-6)


def test_the_floor_is_that_of_random_points():
    # The squared distance to the nearest of n random points on an area A has the mean A / (pi n).
    side = 0.2
    corners = torch.tensor([[0, 0, 0], [side, 0, 0], [side, side, 0], [0, side, 0]])
    square = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    floor = hand_object_scores(square, square, num_samples=20_000).floor.hand
    assert floor.chamfer == pytest.approx(2 * (100 * side) ** 2 / (math.pi * 20_000), rel=0.05)
    assert floor.f_scores[1] == pytest.approx(1 - math.exp(-math.pi * 20_000 * 1e-6 / side**2), abs=0.01)
    assert floor.normal_consistency == pytest.approx(1)


def test_the_border_of_a_region_is_no_error():
    # One ball, of which the halves that are judged overlap by a quarter.
    ball = _ball(0.05)
    middle = ball.vertices[ball.faces].mean(dim=1)
    upper, front = Mesh(ball.vertices, ball.faces, middle[:, 2] > 0), Mesh(ball.vertices, ball.faces, middle[:, 0] > 0)
    scores = shape_scores(upper, front, thresholds=(2, 5), num_samples=10_000)
    # As between two samplings of the whole ball with twice as many points: 2 A / (pi n).
    assert scores.chamfer == pytest.approx(2 * 100**2 * 4 * 0.05**2 / 20_000, rel=0.05)
    assert scores.f_scores[5] == 1


def test_concentric_spheres_are_apart_by_their_radii():
    scores = shape_scores(_ball(0.05), _ball(0.06), thresholds=(5, 11))
    # 1 cm apart both ways, and a little for the spacing of the points.
    assert scores.chamfer == pytest.approx(2.0, rel=0.02)
    assert scores.f_scores == {5.0: 0.0, 11.0: pytest.approx(1.0)}


def test_alignment_undoes_a_scale_and_a_shift():
    truth = _hand()
    moved = Alignment(1.2, torch.tensor([0.03, -0.05, 0.02]))(truth)
    back = align_scale_and_translation(moved, truth)
    assert back.scale * 1.2 == pytest.approx(1, abs=1e-3)
    assert (back(moved).vertices - truth.vertices).norm(dim=1).max() < 3e-4


def test_the_object_follows_the_alignment_of_the_hand():
    hand, held = _hand(), _ball(0.03, (-0.1, -0.05, 0.0))
    move = Alignment(0.9, torch.tensor([0.01, 0.02, 0.0]))
    scores = hand_object_scores(move(hand), hand, move(held), held, num_samples=8000)
    assert scores.as_is.hand.chamfer > 5 * scores.after_icp.hand.chamfer
    assert scores.after_icp.object.chamfer == pytest.approx(scores.floor.object.chamfer, rel=0.1)
    assert scores.as_is.object.chamfer > 5 * scores.floor.object.chamfer
    names = scores.figures()
    assert names["chamfer_hand_cm2_icp"] == scores.after_icp.hand.chamfer
    assert names["f_object_10mm"] == scores.as_is.object.f_scores[10]
    assert {"penetration_depth_mm", "penetration_volume_cm3_icp", "normals_object_floor"} <= set(names)
    assert not any("object" in name for name in hand_object_scores(hand, hand, num_samples=500).figures())


@pytest.mark.parametrize("distance", [0.05, 0.065, 0.09])
def test_two_spheres_overlap_in_a_lens(distance):
    a, b = 0.04, 0.03
    found = penetration(_ball(a), _ball(b, (0.6 * distance, 0.0, 0.8 * distance)))
    depth = max(a + b - distance, 0)
    # Weisstein, "Sphere-sphere intersection", MathWorld.
    lens = math.pi * depth**2 * (distance**2 + 2 * distance * (a + b) - 3 * (a - b) ** 2) / (12 * distance)
    assert found.depth == pytest.approx(depth * 1e3, abs=0.1)
    assert found.volume == pytest.approx(lens * 1e6, rel=0.02, abs=1e-9)


def test_the_volume_of_an_open_hand_in_a_box_agrees_with_trimesh():
    hand = default_hand("right")
    low, high = hand.template.amin(0).numpy(), hand.template.amax(0).numpy()
    box = trimesh.creation.box(bounds=[low - 0.01, [low[0] + 0.05, *(high[1:] + 0.01)]])
    closed = trimesh.Trimesh(hand.template, hand.faces, process=False)
    # Cut off the fingertips: trimesh caps the cut, the wrist is beyond it.
    tips = closed.slice_plane([low[0] + 0.05, 0, 0], [-1, 0, 0], cap=True)
    assert penetration(_hand(), _mesh(box)).volume == pytest.approx(tips.volume * 1e6, rel=0.01)


def test_one_object_alone_is_refused():
    with pytest.raises(HandsError, match="found only the true one"):
        hand_object_scores(_hand(), _hand(), None, _ball(0.03))


def test_nothing_within_reach_scores_zero():
    far = _ball(0.05, (1.0, 0.0, 0.0))
    scores = shape_scores(_ball(0.05), far, thresholds=(5,), num_samples=200)
    assert scores.f_scores[5] == 0.0 and np.isfinite(scores.chamfer)
    assert penetration(_ball(0.05), far) == penetration(far, _ball(0.05))
    assert penetration(_ball(0.05), far).volume == penetration(_ball(0.05), far).depth == 0.0
