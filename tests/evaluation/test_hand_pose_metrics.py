from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_pose_metrics import area_under_curve, dexycb_metrics, f_scores, hand_pose_metrics
from nerfstudio_hands.evaluation.mean_pose import mean_pose, turned_onto

RNG = np.random.default_rng(5)
JOINTS = RNG.normal(0, 0.05, (30, 21, 3)) + [0.1, -0.05, 0.7]
VERTICES = RNG.normal(0, 0.05, (30, 60, 3)) + [0.1, -0.05, 0.7]


def turned(points: np.ndarray, scale: float, determinant: int) -> np.ndarray:
    """Each set under a similarity of its own."""
    turns = Rotation.random(len(points), rng=3).as_matrix() * determinant
    return scale * points @ turns.transpose(0, 2, 1) + RNG.normal(0, 1, (len(points), 1, 3))


def as_released(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """One set aligned by the formula of FreiHAND's script, with scipy's function for its step."""
    means = true.mean(0), predicted.mean(0)
    norms = [np.linalg.norm(points - mean) + 1e-8 for points, mean in zip((true, predicted), means, strict=True)]
    turn, scale = orthogonal_procrustes((true - means[0]) / norms[0], (predicted - means[1]) / norms[1])
    return ((predicted - means[1]) / norms[1]) @ turn.T * scale * norms[0] + means[0]


def test_truth_has_no_error():
    figures = hand_pose_metrics(JOINTS, JOINTS, VERTICES, VERTICES)
    assert all(isinstance(value, float) for value in figures.values())
    for name, value in figures.items():
        if name.endswith("_mm"):
            assert value == pytest.approx(0, abs=1e-5)
        else:
            # The first threshold is zero, which rounding may miss.
            assert value == pytest.approx(1, abs=0.006)


def test_a_predictor_that_says_zero():
    """Aligned, it says the mean of the true points: its error is their mean distance from it."""
    figures = hand_pose_metrics(np.zeros_like(JOINTS), JOINTS, np.zeros_like(VERTICES), VERTICES)
    for points, raw, aligned in ((JOINTS, "mpjpe_mm", "pa_mpjpe_mm"), (VERTICES, "mpvpe_mm", "pa_mpvpe_mm")):
        assert figures[raw] == pytest.approx(1e3 * np.linalg.norm(points, axis=-1).mean())
        spread = np.linalg.norm(points - points.mean(1, keepdims=True), axis=-1).mean()
        assert figures[aligned] == pytest.approx(1e3 * spread)
    assert figures["f_5mm"] == figures["f_15mm"] == figures["auc"] == 0


@pytest.mark.parametrize("determinant", [1, -1])
def test_a_similarity_is_undone_reflections_included(determinant: int):
    moved = turned(JOINTS, 1.7, determinant)
    figures = hand_pose_metrics(moved, JOINTS, turned(VERTICES, 0.4, determinant), VERTICES)
    assert figures["pa_mpjpe_mm"] < 1e-4 and figures["pa_mpvpe_mm"] < 1e-4
    assert figures["pa_f_5mm"] == pytest.approx(1)
    assert figures["mpjpe_mm"] > 100 and figures["f_15mm"] < 0.5


def test_alignment_is_that_of_the_released_script():
    noisy = JOINTS + RNG.normal(0, 0.01, JOINTS.shape)
    aligned = np.stack([as_released(true, found) for true, found in zip(JOINTS, noisy, strict=True)])
    distances = np.linalg.norm(aligned - JOINTS, axis=-1)
    figures = hand_pose_metrics(noisy, JOINTS)
    assert figures["pa_mpjpe_mm"] == pytest.approx(1e3 * distances.mean())
    assert figures["pa_auc"] == pytest.approx(area_under_curve(distances))


def test_area_under_a_curve_by_hand():
    """An error of 25 mm counts from the 51st of 100 thresholds on: from 25.25 mm, and half of the step before."""
    distances = np.array([[0.025, 0.0], [0.025, 0.06]])
    step = 1 / 99
    assert area_under_curve(distances[:, :1]) == pytest.approx(49 * step + step / 2)
    assert area_under_curve(distances[:, 1:]) == pytest.approx(0.5)


def test_f_scores_by_hand():
    true = np.array([[[0, 0, 0], [1.0, 0, 0]]])
    found = np.array([[[0.004, 0, 0], [0.0149, 0, 0], [2.0, 0, 0], [1.016, 0, 0]]])
    # Within 5 mm: one of four, and one of two; within 15 mm: two of four, and one of two.
    assert f_scores(found, true) == pytest.approx({5: 2 * 0.25 * 0.5 / 0.75, 15: 0.5})
    assert f_scores(true + [0.00501, 0, 0], true)[5] == 0


def test_another_mesh_is_aligned_as_its_joints_are():
    """No error of vertices then; a similarity of hand and joints together is undone for the F-scores."""
    joints, denser = JOINTS[:4], np.concatenate([VERTICES, VERTICES + 1e-3], axis=1)[:4]
    both = turned(np.concatenate([joints, denser], axis=1), 1.3, 1)
    figures = hand_pose_metrics(both[:, :21], joints, both[:, 21:], VERTICES[:4])
    assert "mpvpe_mm" not in figures and "pa_mpvpe_mm" not in figures
    assert figures["pa_f_5mm"] == pytest.approx(1)
    assert figures["f_15mm"] < 0.1


def test_alignment_of_ho3d_undoes_scale_about_the_wrist():
    wrist = JOINTS[:, :1]
    figures = hand_pose_metrics((JOINTS - wrist) * 0.8 + [0, 0, 0.4], JOINTS)
    assert figures["scaled_mpjpe_mm"] < 1e-6 and figures["scaled_auc"] == pytest.approx(1, abs=0.006)
    assert figures["wrist_mpjpe_mm"] == pytest.approx(200 * np.linalg.norm(JOINTS - wrist, axis=-1).mean())


def test_errors_of_the_root():
    figures = hand_pose_metrics(JOINTS + [0.003, 0, -0.004], JOINTS)
    assert figures["root_mm"] == pytest.approx(5) and figures["root_depth_mm"] == pytest.approx(4)
    assert figures["mpjpe_mm"] == pytest.approx(5)
    assert figures["wrist_mpjpe_mm"] == pytest.approx(0, abs=1e-9) == figures["middle_mpjpe_mm"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(HandsError, match="joints: expected as many predicted as true ones"):
        hand_pose_metrics(JOINTS[:5], JOINTS)
    broken = JOINTS.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(HandsError, match="NaN"):
        hand_pose_metrics(broken, JOINTS)


def test_dexycb_leaves_out_what_nobody_labelled():
    true, found = JOINTS.copy(), JOINTS + [0.003, 0, -0.004]
    true[[2, 5]] = -1
    true[7] = np.nan
    figures = dexycb_metrics(found, true)
    assert figures["unlabelled"] == 3 and figures["mpjpe_mm"] == pytest.approx(5)
    assert figures["wrist_mpjpe_mm"] == pytest.approx(0, abs=1e-9) and figures["pa_mpjpe_mm"] < 1e-3
    # From the 11th of 100 thresholds on, and half of the step before.
    assert figures["auc"] == pytest.approx((89 + 0.5) / 99)
    with pytest.raises(HandsError, match="joints with labels"):
        dexycb_metrics(found, np.full_like(true, -1))


def test_the_mean_pose_is_that_of_hands_however_they_are_turned() -> None:
    rng = np.random.default_rng(0)
    hand = rng.normal(0, 0.03, (21, 3))
    turns = np.linalg.qr(rng.normal(size=(8, 3, 3)))[0]
    turned = hand @ turns + rng.normal(size=(8, 1, 3))
    mean = mean_pose(turned)
    np.testing.assert_allclose(turned_onto(mean, turned), turned, atol=1e-12)
    other = turned + rng.normal(0, 0.005, turned.shape)
    assert 0.003 < np.linalg.norm(turned_onto(mean, other) - other, axis=-1).mean() < 0.01
