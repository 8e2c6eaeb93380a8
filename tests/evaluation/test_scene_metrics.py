"""Figures over many pictures of hand and object."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from helpers.shapes import ball, hand_mesh

from nerfstudio_hands.evaluation.alignment import Alignment
from nerfstudio_hands.evaluation.scene_metrics import mean_distance_cm, mean_figures, scene_figures

HAND, HELD = hand_mesh(), ball(0.03, (-0.1, -0.05, 0.0))
FEW = 2000


@pytest.fixture(scope="module")
def perfect() -> dict[str, float]:
    return scene_figures(HAND, HAND, HELD, HELD, num_samples=FEW)


def test_a_perfect_prediction_reaches_the_floor(perfect: dict[str, float]):
    for part, threshold in (("hand", 1), ("hand", 5), ("object", 5), ("object", 10)):
        name = f"f_{part}_{threshold}mm"
        assert perfect[name] == perfect[f"{name}_floor"] > 0
        assert perfect[f"chamfer_{part}_cm2"] == perfect[f"chamfer_{part}_cm2_floor"]
    # So few points leave the alignment some of their distance from each other.
    assert perfect["f_hand_5mm_icp"] == pytest.approx(perfect["f_hand_5mm_floor"], abs=0.05)
    assert perfect["in_contact"] == perfect["in_contact_floor"] and perfect["f_object_10mm"] == 1
    assert perfect["missing_hand"] == perfect["missing_object"] == 0


def test_the_alignment_is_the_hands_and_moves_the_object(perfect: dict[str, float]):
    move = Alignment(1.0, torch.tensor([0.02, 0.0, 0.0]))
    found = scene_figures(move(HAND), HAND, move(HELD), HELD, num_samples=FEW)
    assert found["chamfer_object_cm2"] > 5 * found["chamfer_object_cm2_icp"]
    assert found["f_hand_5mm"] < 0.9 < found["f_hand_5mm_icp"]


def test_missing_meshes_are_left_out_of_means_counted_and_0_beside(perfect: dict[str, float]):
    no_hand = scene_figures(None, HAND, HELD, HELD, num_samples=FEW)
    no_object = scene_figures(HAND, HAND, None, HELD, num_samples=FEW)
    nothing_held = scene_figures(HAND, HAND, None, None, num_samples=FEW)
    figures = mean_figures([perfect, no_hand, no_object, nothing_held])
    json.dumps(figures, allow_nan=False)
    assert figures["missing_hand"] == 1 and figures["missing_object"] == 1
    assert figures["f_hand_5mm"] == pytest.approx(perfect["f_hand_5mm"])
    assert figures["f_hand_5mm_all"] == pytest.approx(0.75 * perfect["f_hand_5mm"])
    # Of three pictures with an object two show one; without a hand it is judged as it is, but not aligned.
    assert figures["f_object_5mm"] == pytest.approx(perfect["f_object_5mm"])
    assert figures["f_object_5mm_all"] == pytest.approx(2 / 3 * perfect["f_object_5mm"])
    assert figures["f_object_5mm_icp_all"] == pytest.approx(1 / 3 * perfect["f_object_5mm_icp"])
    assert not any(name.startswith("missing") and name.endswith("_all") for name in figures)


def test_where_every_hand_is_missing_the_honest_figure_is_0():
    figures = mean_figures([scene_figures(None, HAND, None, None), scene_figures(None, HAND, None, HELD)])
    assert figures["missing_hand"] == 2 and figures["missing_object"] == 1
    assert figures["f_hand_1mm_all"] == figures["f_object_10mm_icp_all"] == 0
    assert "f_hand_1mm" not in figures


def test_medians_and_contact_are_those_of_images():
    rows = [
        {"missing_hand": 0.0, "chamfer_hand_cm2": value, "in_contact": contact, "penetration_depth_mm": 10 * contact}
        for value, contact in ((0.1, 1.0), (0.2, 0.0), (9.0, 1.0))
    ]
    figures = mean_figures(rows)
    assert figures["chamfer_hand_cm2"] == pytest.approx(3.1) and figures["chamfer_hand_cm2_median"] == 0.2
    assert figures["in_contact"] == pytest.approx(2 / 3) and figures["penetration_depth_mm"] == pytest.approx(20 / 3)


def test_places_that_are_not_known_have_no_distance():
    truth = np.array([[0.0, 0.0, 0.5], [math.nan] * 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_distance_cm(truth + [0.03, 0.04, 0.0], truth) == pytest.approx(5)
        assert math.isnan(mean_distance_cm(truth[1:], truth[1:]))
        figures = mean_figures([{"e_o_cm": math.nan}, {"e_o_cm": 2.0}, {"other": math.nan}])
    assert figures == {"e_o_cm": 2.0}
