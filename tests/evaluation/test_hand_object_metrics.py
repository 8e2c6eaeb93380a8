"""Figures of hand and object together."""

import math

import pytest
import torch
from helpers.shapes import ball, hand_mesh

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.alignment import Alignment
from nerfstudio_hands.evaluation.hand_object_metrics import hand_object_scores
from nerfstudio_hands.evaluation.mesh_metrics import Mesh


def test_the_floor_is_that_of_random_points():
    # The squared distance to the nearest of n random points on an area A has the mean A / (pi n).
    side = 0.2
    corners = torch.tensor([[0, 0, 0], [side, 0, 0], [side, side, 0], [0, side, 0]])
    square = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    floor = hand_object_scores(square, square, num_samples=20_000).floor.hand
    assert floor.chamfer == pytest.approx(2 * (100 * side) ** 2 / (math.pi * 20_000), rel=0.05)
    assert floor.f_scores[1] == pytest.approx(1 - math.exp(-math.pi * 20_000 * 1e-6 / side**2), abs=0.01)
    assert floor.normal_consistency == pytest.approx(1)


def test_the_object_follows_the_alignment_of_the_hand():
    hand, held = hand_mesh(), ball(0.03, (-0.1, -0.05, 0.0))
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


def test_one_object_alone_is_refused():
    with pytest.raises(HandsError, match="found only the true one"):
        hand_object_scores(hand_mesh(), hand_mesh(), None, ball(0.03))
