"""Schedules that reload, and checkpoints that an interruption cannot spoil (see also test_commands.py)."""

from __future__ import annotations

import io

import pytest
import torch
from torch.optim import Adam

from nerfstudio_hands.engine import CosineDecaySchedulerConfig


def test_the_schedule_warms_up_falls_and_reloads_under_safe_loading():
    optimizer = Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    schedule = CosineDecaySchedulerConfig(warmup_steps=10, max_steps=110, final_fraction=0.1).setup()
    scheduler = schedule.get_scheduler(optimizer, 1e-2)
    rates = []
    for _ in range(130):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(1e-2 / 11) and max(rates) == rates[10] == pytest.approx(1e-2)
    assert rates[60] == pytest.approx(1e-2 * 0.55) and rates[-1] == pytest.approx(1e-3)
    file = io.BytesIO()
    torch.save(scheduler.state_dict(), file)
    file.seek(0)
    assert torch.load(file, weights_only=True)["last_epoch"] == 130
