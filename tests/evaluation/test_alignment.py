"""Known transforms are undone."""

import numpy as np
import pytest
import torch
from helpers.shapes import ball, hand_mesh
from scipy.spatial.transform import Rotation

from nerfstudio_hands.evaluation.alignment import (
    PUBLISHED,
    Alignment,
    RigidMotion,
    StoppingRule,
    align_rigidly,
    align_scale_and_translation,
)
from nerfstudio_hands.evaluation.mesh_metrics import surface_errors


def test_alignment_undoes_a_scale_and_a_shift():
    truth = hand_mesh()
    moved = Alignment(1.2, torch.tensor([0.03, -0.05, 0.02]))(truth)
    back = align_scale_and_translation(moved, truth)
    assert back.scale * 1.2 == pytest.approx(1, abs=1e-3)
    assert (back(moved).vertices - truth.vertices).norm(dim=1).max() < 3e-4


def test_what_is_near_enough_stays_as_it_begins():
    truth = hand_mesh()
    moved = Alignment(1.1, torch.tensor([0.02, 0.0, -0.01]))(truth)
    found, first, on = (
        align_scale_and_translation(moved, truth, num_samples=2000, rule=rule)
        for rule in (StoppingRule(100, 1e-5, near_enough=0.01), StoppingRule(1, 0.0), PUBLISHED)
    )
    assert found.scale == first.scale != on.scale and torch.equal(found.translation, first.translation)
    assert PUBLISHED == StoppingRule(rounds=100, still_improving=1e-5, near_enough=1e-3)


def test_surfaces_that_are_far_apart_are_aligned_with_few_points_first():
    """Nobody waits minutes for a ball in place of a hand: where all points begin, few have ended."""
    truth = hand_mesh()
    wrong = ball(0.05, tuple(truth.vertices.mean(0).tolist()))
    few = align_scale_and_translation(wrong, truth, num_samples=3000, rule=PUBLISHED)
    many = align_scale_and_translation(wrong, truth, num_samples=4000, rule=PUBLISHED)
    assert many.scale == pytest.approx(few.scale, rel=0.02)
    assert torch.allclose(many.translation, few.translation, atol=1e-3)


def motion(degrees: float, axis: tuple[float, float, float], shift: tuple[float, float, float]) -> RigidMotion:
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    return RigidMotion(torch.from_numpy(turn), torch.tensor(shift).double())


@pytest.mark.parametrize("degrees", [8.0, 100.0, 179.0])
def test_a_rigid_motion_is_undone_wherever_the_mesh_was(degrees: float):
    truth = hand_mesh()
    moved = motion(degrees, (1.0, -2.0, 0.5), (0.4, -0.3, 1.1))(truth)
    found = align_rigidly(moved, truth)
    assert (found(moved).vertices - truth.vertices).norm(dim=1).max() < 1e-4
    assert torch.det(found.rotation).item() == pytest.approx(1)
    again = found.undo(found.points(moved.vertices.double()))
    torch.testing.assert_close(again, moved.vertices.double())


def test_alignment_does_not_hide_a_size():
    small, large = ball(0.05, (0.2, 0.1, 0.0)), ball(0.052)
    errors = surface_errors(align_rigidly(small, large)(small), large)
    assert errors.to_truth.mean == pytest.approx(2, abs=0.05) and errors.chamfer == pytest.approx(2, abs=0.05)
