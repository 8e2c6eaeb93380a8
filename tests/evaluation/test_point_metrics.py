"""Points on two surfaces against brute force and spheres."""

import numpy as np
import pytest
import torch
from helpers.shapes import ball, hand_mesh

from nerfstudio_hands.evaluation.mesh_metrics import Mesh, sample_surface
from nerfstudio_hands.evaluation.point_metrics import shape_scores


def test_chamfer_and_f_scores_agree_with_all_pairs_of_points():
    mesh, truth = hand_mesh(), Mesh(hand_mesh().vertices * 1.03 + torch.tensor([0.002, 0.0, -0.001]), hand_mesh().faces)
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


def test_the_border_of_a_region_is_no_error():
    # One ball, of which the halves that are judged overlap by a quarter.
    whole = ball(0.05)
    middle = whole.vertices[whole.faces].mean(dim=1)
    upper, front = (
        Mesh(whole.vertices, whole.faces, middle[:, 2] > 0),
        Mesh(whole.vertices, whole.faces, middle[:, 0] > 0),
    )
    scores = shape_scores(upper, front, thresholds=(2, 5), num_samples=10_000)
    # As between two samplings of the whole ball with twice as many points: 2 A / (pi n).
    assert scores.chamfer == pytest.approx(2 * 100**2 * 4 * 0.05**2 / 20_000, rel=0.05)
    assert scores.f_scores[5] == 1


def test_concentric_spheres_are_apart_by_their_radii():
    scores = shape_scores(ball(0.05), ball(0.06), thresholds=(5, 11))
    # 1 cm apart both ways, and a little for the spacing of the points.
    assert scores.chamfer == pytest.approx(2.0, rel=0.02)
    assert scores.f_scores == {5.0: 0.0, 11.0: pytest.approx(1.0)}


def test_nothing_within_reach_scores_zero():
    far = ball(0.05, (1.0, 0.0, 0.0))
    scores = shape_scores(ball(0.05), far, thresholds=(5,), num_samples=200)
    assert scores.f_scores[5] == 0.0 and np.isfinite(scores.chamfer)
