"""Figures against cases that are known."""

from __future__ import annotations

import pytest
import torch

from nerfstudio_hands.motion.forecasting.metrics import (
    HORIZONS,
    at_horizon,
    best_of,
    joint_errors,
    mpjpe_at_horizons,
    pck_auc,
    speed_spectrum,
)


def test_errors_are_taken_at_a_time_and_not_up_to_it() -> None:
    truth = torch.zeros(2, 30, 21, 3)
    predicted = truth.clone()
    predicted[..., 0] = torch.arange(1, 31)[None, :, None] / 1000  # 1 mm more a frame
    found = mpjpe_at_horizons(predicted, truth, 30.0)
    assert found == pytest.approx({horizon: horizon / 1000 * 30 for horizon in HORIZONS}, abs=1e-3)
    assert mpjpe_at_horizons(predicted, truth, 30.0, relative=True)[400] == pytest.approx(0)
    # Human3.6M's 25 frames a second: 80 ms is the second frame, 1000 ms the 25th.
    assert torch.equal(at_horizon(predicted[:, :25], 80, 25.0), predicted[:, 1])
    assert torch.equal(at_horizon(predicted[:, :25], 1000, 25.0), predicted[:, 24])
    with pytest.raises(ValueError, match="lie outside"):
        at_horizon(predicted[:, :20], 1000, 25.0)


def test_area_below_the_share_of_correct_joints() -> None:
    assert pck_auc(torch.zeros(10)) == pytest.approx((0.299 - 0.001) / 0.299)
    assert pck_auc(torch.full((10,), 1.0)) == 0
    # Errors spread evenly: the share grows in a straight line.
    assert pck_auc(torch.linspace(0, 0.3, 3001)) == pytest.approx(0.5, abs=0.01)


def test_the_best_of_several_is_chosen_window_by_window() -> None:
    truth = torch.randn(4, 5, 21, 3)
    many = truth + torch.tensor([0.3, 0.1, 0.2])[:, None, None, None, None]
    many[2, 1] = truth[1]
    best = best_of(many, truth)
    assert joint_errors(best, truth).mean(dim=(-1, -2)).tolist() == pytest.approx([0.1732, 0, 0.1732, 0.1732], abs=1e-3)


def test_the_spectrum_of_speed_finds_a_beat() -> None:
    time = torch.arange(300) / 30.0
    joints = torch.zeros(1, 300, 2, 3)
    # Speed 1 + 0.5 sin(2 pi 2 t) metres a second: power 0.125 at two hertz.
    joints[..., 0] = (time - 0.5 * torch.cos(4 * torch.pi * time) / (4 * torch.pi))[None, :, None]
    speed, (slow, beat, fast) = speed_spectrum(joints, 30.0, ((0.3, 1.5), (1.5, 2.5), (2.5, 15.0)))
    assert speed.mean() == pytest.approx(1.0, abs=0.01)
    assert beat == pytest.approx(0.125, rel=0.1) and slow < 1e-3 and fast < 1e-3
