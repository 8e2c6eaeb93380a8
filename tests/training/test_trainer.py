"""Schedules that reload, and checkpoints that an interruption cannot spoil (see also test_commands.py)."""

from __future__ import annotations

import errno
import importlib
import io
import os
import resource
import signal
import sys
from copy import deepcopy
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace

import pytest
import torch
import yaml
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils import writer
from torch.optim import Adam

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.checkpoints import read_checkpoint
from nerfstudio_hands.files.run_yaml import portable_yaml
from nerfstudio_hands.method_configs.hand_mesh import hand_mesh
from nerfstudio_hands.training import soundness
from nerfstudio_hands.training import trainer as engine
from nerfstudio_hands.training.schedules import CosineDecaySchedulerConfig
from nerfstudio_hands.training.sound_pipeline import require_finite
from nerfstudio_hands.training.soundness import require_sound
from nerfstudio_hands.training.trainer import HandTrainer, forget_run


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
        pipeline=SimpleNamespace(get_param_groups=lambda: {"fields": [parameter]}, training_steps=lambda: None),
    )
    optimizers = HandTrainer.setup_optimizers(trainer)
    scheduler = optimizers.schedulers["fields"]
    assert scheduler.lr_lambdas[0](110) == pytest.approx(0.1) and scheduler.lr_lambdas[0](60) == pytest.approx(0.55)
    with pytest.raises(ValueError, match="max_steps"):
        CosineDecaySchedulerConfig().setup().get_scheduler(Adam([parameter]), 1e-2)


def test_a_fault_in_the_making_of_the_model_is_one_sentence_and_leaves_no_folder(monkeypatch, tiny_trainer, tmp_path):
    def torn(self, test_mode):
        raise HandsError("hand.npz: expected a surface, found 3 edges with more than two faces; mend it.")

    monkeypatch.setattr(Trainer, "setup", torn)
    tiny_trainer.base_dir.mkdir(parents=True)
    (tiny_trainer.base_dir / "config.yml").touch()
    with pytest.raises(SystemExit, match="^error: hand.npz: expected a surface"):
        tiny_trainer.setup()
    assert not list(tmp_path.iterdir())


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


def test_half_precision_is_refused(demo_capture):
    config = deepcopy(hand_mesh.config)
    config.machine.device_type, config.mixed_precision = "cpu", True
    config.pipeline.datamanager.data = demo_capture
    with pytest.raises(HandsError, match="^--mixed-precision: expected False, found True: .*leave the option out"):
        require_sound(config)


def test_a_gpu_that_torch_cannot_use_is_said(demo_capture, tmp_path, capsys, monkeypatch):
    sentence = "This machine has an NVIDIA GPU, driver 535.1, that is not used, because torch is old."
    monkeypatch.setattr(engine, "unused_gpu", lambda: sentence)
    monkeypatch.setattr(soundness, "unused_gpu", lambda: sentence)
    config = deepcopy(hand_mesh.config)
    config.machine.device_type, config.output_dir, config.pipeline.datamanager.data = "cpu", tmp_path, demo_capture
    config.print_to_terminal()
    assert capsys.readouterr().out.splitlines()[1] == sentence
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    config.machine.device_type = "cuda"
    with pytest.raises(HandsError, match="train with --machine.device-type cpu. This machine has an NVIDIA GPU"):
        require_sound(config)


def test_defaults_of_a_gpu(monkeypatch):
    names = ("shared", "hand_uvnerf", "hand_canonical", "hand_sdf")
    modules = [importlib.import_module(f"nerfstudio_hands.method_configs.{name}") for name in names]
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        on_gpu = [vars(importlib.reload(module)).copy() for module in modules]
    on_cpu = [vars(importlib.reload(module)).copy() for module in modules]
    for found, steps, every, rays in ((on_gpu, 2500, 2500, 2**18), (on_cpu, 1000, 500, 2**14)):
        configs = [found[index][name].config for index, name in enumerate(names) if index]
        assert {config.max_num_iterations for config in configs} == {steps}
        assert {config.steps_per_save for config in configs} == {every}
        assert [config.pipeline.model.eval_num_rays_per_chunk for config in configs] == [rays, rays, rays // 4]
        assert {config.pipeline.model.implementation for config in configs} == {"torch"}


def test_a_loss_that_is_not_finite_stops_all_processes(monkeypatch):
    told = []

    def all_reduce(value, operation):
        told.append(operation)
        value.zero_()  # as another process has it

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    with pytest.raises(HandsError, match="expected finite losses, found others in another process at step 7"):
        require_finite({"color": torch.tensor(1.0)}, 7)
    with pytest.raises(HandsError, match="found nan for 'color' at step 7"):
        require_finite({"mask": torch.tensor(1.0), "color": torch.tensor(torch.nan)}, 7)
    assert told == [torch.distributed.ReduceOp.MIN] * 2


def test_a_data_parser_of_another_kind_is_named(demo_capture):
    config = deepcopy(hand_mesh.config)
    config.machine.device_type = "cpu"
    config.pipeline.datamanager.data = demo_capture
    config.pipeline.datamanager.dataparser = BlenderDataParserConfig()
    with pytest.raises(HandsError, match="BlenderDataParserConfig: expected a data parser of hands.* hands-data"):
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


@pytest.fixture
def tiny_trainer(tmp_path):
    """A trainer of 1,000 steps over a single layer."""
    trainer = HandTrainer.__new__(HandTrainer)
    trainer.config = deepcopy(hand_mesh.config)
    trainer.config.max_num_iterations = 1000
    trainer.pipeline = torch.nn.Linear(100, 100)
    trainer.optimizers = SimpleNamespace(optimizers={}, schedulers={})
    trainer.grad_scaler = SimpleNamespace(state_dict=dict)
    trainer.base_dir = tmp_path / "runs" / "tiny" / "hand-mesh" / "now"
    trainer.checkpoint_dir = trainer.base_dir / "nerfstudio_models"
    trainer.training_state, trainer.step, trainer._start_step = "training", 0, 0
    return trainer


def checkpoints_of(trainer):
    return sorted(path.name for path in trainer.base_dir.rglob("*") if path != trainer.checkpoint_dir)


def test_on_a_full_disk_the_training_goes_on_and_the_last_good_checkpoint_stays(tiny_trainer, capsys):
    tiny_trainer.save_checkpoint(10)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        tiny_trainer.save_checkpoint(20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoints_of(tiny_trainer) == ["step-000000010.ckpt"]
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "expected space for the checkpoint of step 20" in said
    tiny_trainer.save_checkpoint(30)
    assert checkpoints_of(tiny_trainer) == ["step-000000030.ckpt"]


def test_the_last_checkpoint_is_tried_elsewhere(tiny_trainer, tmp_path, monkeypatch):
    tiny_trainer.base_dir.mkdir(parents=True)
    tiny_trainer.checkpoint_dir.write_text("a file where the folder should be")
    tiny_trainer.training_state = "completed"
    monkeypatch.setattr(engine, "spare_folders", lambda: [tmp_path / "runs" / "tiny" / "hand-mesh" / "now" / "x" / "y"])
    (tiny_trainer.base_dir / "x").write_text("nor here")
    with pytest.raises(HandsError, match="expected space for the last checkpoint.*no other place took it"):
        tiny_trainer.save_checkpoint(40)
    monkeypatch.setattr(engine, "spare_folders", lambda: [tiny_trainer.base_dir / "x" / "y", tmp_path / "spare"])
    with pytest.raises(HandsError, match="it was written to .*step-000000040.ckpt instead"):
        tiny_trainer.save_checkpoint(40)
    (kept,) = (tmp_path / "spare").rglob("*.ckpt")
    assert read_checkpoint(kept)["step"] == 40
    assert [path.name for path in (tmp_path / "spare").iterdir()] == [kept.parent.name]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_is_saved_and_says_how_to_go_on(tiny_trainer, monkeypatch, capsys, number, status):
    def run(self):
        self.step = 7
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "train", run)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ns-train", "hand-mesh", "--vis", "tensorboard"])
    with pytest.raises(SystemExit) as stopped:
        tiny_trainer.train()
    assert stopped.value.code == status and stopped.value.__suppress_context__
    assert checkpoints_of(tiny_trainer) == ["step-000000007.ckpt"]
    folder = tiny_trainer.checkpoint_dir
    assert capsys.readouterr().out == (
        f"Stopped at step 7, which is saved. To go on: ns-train hand-mesh --load-dir {folder} --vis tensorboard\n"
    )


def test_a_training_whose_output_nobody_reads_any_more_is_saved(tiny_trainer, monkeypatch):
    def run(self):
        self.step = 7
        raise BrokenPipeError

    monkeypatch.setattr(Trainer, "train", run)
    with pytest.raises(BrokenPipeError):
        tiny_trainer.train()
    assert checkpoints_of(tiny_trainer) == ["step-000000007.ckpt"]


def test_a_disk_that_fills_while_training_is_one_sentence(tiny_trainer, monkeypatch):
    def run(self):
        self.step = 7
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "train", run)
    with pytest.raises(SystemExit, match="^error: disk: expected space .*No space left on device"):
        tiny_trainer.train()
    assert checkpoints_of(tiny_trainer) == ["step-000000007.ckpt"]


def test_a_configuration_that_finds_no_space_leaves_nothing(tmp_path, monkeypatch):
    config = deepcopy(hand_mesh.config)
    config.output_dir, config.timestamp = tmp_path / "runs", "now"
    config.data = config.pipeline.datamanager.data = tmp_path

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine, "write_whole", full)
    with pytest.raises(SystemExit, match="runs: expected a folder to write the run to, found 'No space left"):
        config.save_config()
    assert not list(tmp_path.rglob("config.yml")) and not list(tmp_path.rglob("now"))


def test_ctrl_c_at_the_viewer_after_the_training_is_no_fault(tiny_trainer, monkeypatch, capsys):
    def run(self):
        self.step, self.training_state = 999, "completed"
        self.save_checkpoint(999)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train", run)
    with pytest.raises(SystemExit) as stopped:
        tiny_trainer.train()
    assert stopped.value.code == 0 and "Stopped" not in capsys.readouterr().out


def test_a_resumed_training_ends_where_it_was_asked_to(tiny_trainer, monkeypatch):
    steps = []
    monkeypatch.setattr(Trainer, "train", lambda self: steps.append(self.config.max_num_iterations))
    tiny_trainer._start_step = 600
    tiny_trainer.train()
    assert steps == [400] and tiny_trainer.config.max_num_iterations == 1000


def test_a_training_that_has_ended_is_not_gone_on_with(tiny_trainer):
    tiny_trainer.save_checkpoint(999)
    tiny_trainer.config.load_dir = tiny_trainer.checkpoint_dir
    tiny_trainer.pipeline = SimpleNamespace(load_pipeline=lambda state, step: None)
    tiny_trainer.optimizers = SimpleNamespace(load_optimizers=len, load_schedulers=len)
    tiny_trainer.grad_scaler = SimpleNamespace(load_state_dict=len)
    with pytest.raises(HandsError, match="^--max-num-iterations: expected more than the 1000 steps"):
        tiny_trainer._load_checkpoint()
    tiny_trainer.config.max_num_iterations = 1001
    tiny_trainer._load_checkpoint()
    assert tiny_trainer._start_step == 1000


def test_a_checkpoint_with_other_optimisers_is_one_sentence(tiny_trainer):
    tiny_trainer.save_checkpoint(5)
    tiny_trainer.config.load_dir = tiny_trainer.checkpoint_dir
    tiny_trainer.pipeline = SimpleNamespace(load_pipeline=lambda state, step: None)
    tiny_trainer.optimizers = SimpleNamespace(load_optimizers=lambda state: state["albedo"])
    with pytest.raises(HandsError, match="step-000000005.ckpt: expected the state of a training of hand-mesh"):
        tiny_trainer._load_checkpoint()


def test_a_run_that_never_began_leaves_no_folder(tmp_path):
    run, other = tmp_path / "outputs" / "hand" / "hand-mesh" / "now", tmp_path / "outputs" / "foot"
    run.mkdir(parents=True)
    other.mkdir()
    (run / "config.yml").touch()
    (run / "events").touch()
    forget_run(run)
    assert (run / "config.yml").exists()
    (run / "events").unlink()
    forget_run(run)
    assert not (tmp_path / "outputs" / "hand").exists() and other.exists()


def test_quality_is_measured_ten_times_and_shown_in_every_line(tiny_trainer, monkeypatch, capsys):
    measured, shown = [], []

    def measure(step):
        measured.append(step)
        return 20.0 + step / 100

    tiny_trainer.pipeline = SimpleNamespace(held_out_psnr=measure)
    monkeypatch.setattr(Trainer, "eval_iteration", lambda self, step: None)
    monkeypatch.setattr(writer, "put_scalar", lambda name, scalar, step: shown.append((step, scalar)))
    for step in range(1000):
        tiny_trainer.eval_iteration(step)
    assert measured == list(range(100, 1000, 100))
    assert [step for step, _ in shown] == list(range(100, 1000, 20)) and shown[-1][1] == pytest.approx(29)
    tiny_trainer._say_what_next(999)
    said = capsys.readouterr().out
    assert "29.0 dB" in said and said.count(str(tiny_trainer.base_dir / "config.yml")) == 4
