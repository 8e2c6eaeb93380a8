"""Schedules that reload, and checkpoints that an interruption cannot spoil (see also test_commands.py)."""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace

import pytest
import torch
import yaml
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import Trainer
from torch.optim import Adam

from nerfstudio_hands.engine import CosineDecaySchedulerConfig, HandTrainer, require_sound
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh
from nerfstudio_hands.run_yaml import portable_yaml


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


def test_a_sound_training_is_one_line(demo_capture, tmp_path, capsys):
    config = deepcopy(hand_mesh.config)
    config.machine.device_type = "cpu"
    config.output_dir, config.timestamp, config.pipeline.datamanager.data = tmp_path, "now", demo_capture
    config.print_to_terminal()
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and str(demo_capture) in printed and "hand-mesh/now" in printed


@pytest.mark.parametrize(
    ("device", "count", "found"),
    [("mps", 1, "expected cpu or cuda, found mps"), ("cpu", 2, "expected 2 of them, found 1"), ("cuda", 64, "found")],
)
def test_a_device_that_is_not_there_is_named(device, count, found, demo_capture):
    config = deepcopy(hand_mesh.config)
    config.pipeline.datamanager.data = demo_capture
    config.machine.device_type, config.machine.num_devices = device, count
    with pytest.raises(HandsError, match=f"^--machine.device-type.*{found}"):
        require_sound(config)


def test_no_run_is_written_into_a_capture(demo_capture):
    config = deepcopy(hand_mesh.config)
    config.machine.device_type = "cpu"
    config.pipeline.datamanager.data, config.output_dir = demo_capture, demo_capture / "outputs"
    with pytest.raises(HandsError, match="expected an output folder outside of the capture"):
        require_sound(config)


@pytest.mark.parametrize("path", [PurePosixPath("/data/hand"), PureWindowsPath("C:\\data\\hand"), Path("runs")])
def test_paths_of_a_run_belong_to_the_system_that_reads_it(path):
    config = deepcopy(hand_mesh.config)
    config.output_dir = path
    text = portable_yaml(config)
    assert "PosixPath" not in text and "WindowsPath" not in text
    loaded = yaml.load(text, Loader=yaml.Loader)
    assert type(loaded.output_dir) is type(Path()) and loaded.output_dir == Path(*path.parts)
    assert loaded.pipeline.model == config.pipeline.model and loaded.machine == config.machine
