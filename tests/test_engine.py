"""Schedules that reload, and checkpoints that an interruption cannot spoil (see also test_commands.py)."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import Trainer
from torch.optim import Adam

from nerfstudio_hands.engine import CosineDecaySchedulerConfig, HandTrainer
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh


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


def test_a_schedule_without_an_end_lasts_as_long_as_the_training():
    parameter = torch.nn.Parameter(torch.zeros(1))
    trainer = SimpleNamespace(
        config=SimpleNamespace(
            max_num_iterations=110,
            optimizers={
                "fields": {
                    "optimizer": AdamOptimizerConfig(lr=1e-2),
                    "scheduler": CosineDecaySchedulerConfig(warmup_steps=10, final_fraction=0.1),
                }
            },
        ),
        pipeline=SimpleNamespace(get_param_groups=lambda: {"fields": [parameter]}),
    )
    optimizers = HandTrainer.setup_optimizers(trainer)
    scheduler = optimizers.schedulers["fields"]
    assert scheduler.lr_lambdas[0](110) == pytest.approx(0.1) and scheduler.lr_lambdas[0](60) == pytest.approx(0.55)
    with pytest.raises(ValueError, match="max_steps"):
        CosineDecaySchedulerConfig().setup().get_scheduler(Adam([parameter]), 1e-2)


def test_a_fault_in_the_making_of_the_model_is_one_sentence(monkeypatch):
    def torn(self, test_mode):
        raise HandsError("hand.npz: expected a surface, found 3 edges with more than two faces; mend it.")

    monkeypatch.setattr(Trainer, "setup", torn)
    trainer = HandTrainer.__new__(HandTrainer)
    trainer.config = hand_mesh.config
    with pytest.raises(SystemExit, match="^error: hand.npz: expected a surface"):
        trainer.setup()


def test_parameters_that_are_not_finite_are_never_saved(tmp_path):
    broken = torch.nn.Linear(2, 1)
    broken.weight.data[0, 0] = float("nan")
    trainer = SimpleNamespace(pipeline=broken, checkpoint_dir=tmp_path)
    with pytest.raises(HandsError, match="step 12; no checkpoint of them is written, and older ones are kept"):
        HandTrainer.save_checkpoint(trainer, 12)
    assert not list(tmp_path.iterdir())
