"""What nerfstudio's trainer does not do: checkpoints that no kill and no fault can spoil, and schedules that reload."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from nerfstudio.engine.trainer import TRAIN_INTERATION_OUTPUT, Trainer, TrainerConfig
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE
from torch.optim import Optimizer, lr_scheduler

from nerfstudio_hands.dataparsers.layouts import find_layout
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.memory import memory_faults, rendering_remedy, training_remedy
from nerfstudio_hands.option_range import Fraction, Interval, bounded, check_ranges
from nerfstudio_hands.run_yaml import portable_yaml


@dataclass
class CosineDecaySchedulerConfig(SchedulerConfig):
    """Warm-up, then a half cosine from the optimiser's learning rate to a fraction of it."""

    _target: typing.Type = field(default_factory=lambda: CosineDecayScheduler)
    """target class to instantiate"""
    warmup_steps: bounded(int, 0, 10**9) = 50
    """Steps over which the rate rises linearly from near zero."""
    max_steps: bounded(typing.Optional[int], 1, 10**9) = None
    """Step at which the rate reaches its end; by default the last step of the training."""
    final_fraction: Fraction = 0.05
    """Rate at the end over the rate after the warm-up."""


class CosineDecayScheduler(Scheduler):
    """Half-cosine decay whose factors are Python floats: nerfstudio's own put numpy scalars into checkpoints, which
    `torch.load` refuses to read back."""

    config: CosineDecaySchedulerConfig

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> lr_scheduler.LRScheduler:
        config = self.config
        if config.max_steps is None:
            raise ValueError(
                "A schedule without max_steps needs a HandTrainer, which knows the length of the training."
            )
        max_steps = config.max_steps

        def factor(step: int) -> float:
            if step < config.warmup_steps:
                return (step + 1) / (config.warmup_steps + 1)
            progress = min((step - config.warmup_steps) / max(max_steps - config.warmup_steps, 1), 1.0)
            return config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))

        return lr_scheduler.LambdaLR(optimizer, lr_lambda=factor)


@dataclass
class HandMachineConfig(MachineConfig):
    """nerfstudio's, with ranges and the devices that our kernels run on."""

    seed: bounded(int, 0, 2**32 - 1) = 42
    """Seed of whatever is drawn at random."""
    num_devices: bounded(int, 1, 64) = 1
    """Devices of this machine to train on."""
    num_machines: bounded(int, 1, 1024) = 1
    """Machines that train together."""
    machine_rank: bounded(int, 0, 1023) = 0
    """Which of them this one is."""
    device_type: typing.Literal["cpu", "cuda"] = "cuda"
    """Kind of device to train on."""


@dataclass
class HandTrainerConfig(TrainerConfig):
    """nerfstudio's trainer with checkpoints that are whole or absent."""

    _target: typing.Type = field(default_factory=lambda: HandTrainer)
    """target class to instantiate"""
    max_num_iterations: bounded(int, 1, 10**9) = 1000
    """Steps of the training, those before --load-dir among them."""
    steps_per_save: Interval = 500
    """Steps between checkpoints; the last step has one anyway."""
    steps_per_eval_batch: Interval = 500
    """Steps between evaluations on some held-out rays."""
    steps_per_eval_image: Interval = 500
    """Steps between evaluations on a held-out picture."""
    steps_per_eval_all_images: Interval = 25000
    """Steps between evaluations on all held-out pictures."""
    load_step: bounded(typing.Optional[int], 0, 10**9) = None
    """Step of the checkpoint in --load-dir to go on from; by default the last one."""

    def print_to_terminal(self) -> None:
        """One line instead of nerfstudio's two hundred, which stand in config.yml.

        nerfstudio calls this first with the whole configuration, so what is wrong with that is said here, before
        anything is read or written.
        """
        try:
            require_sound(self)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        data = self.pipeline.datamanager.data or self.pipeline.datamanager.dataparser.data
        say(
            f"{self.method_name}: {self.max_num_iterations:,} steps on {self.machine.device_type}, capture {data}, "
            f"run {self.get_base_dir()} (all options: config.yml there)"
        )

    def save_config(self) -> None:
        """Writes config.yml, which every system can read whatever system wrote it."""
        try:
            folder = self.get_base_dir()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.yml").write_text(portable_yaml(self), "utf8")
        except OSError as error:
            raise SystemExit(
                f"error: {self.output_dir}: expected a folder to write the run to, found '{error.strerror or error}'; "
                "choose another --output-dir."
            ) from error


def require_sound(config: HandTrainerConfig) -> None:
    """See that a training can begin, as far as its configuration, its folders and its devices tell.

    Raises:
        HandsError: A number is out of its range, the machine has no such device, there is no capture, or the run would
            lie in it.
    """
    check_ranges(config)
    _require_device(config.machine)
    data = config.pipeline.datamanager
    capture = Path(data.data or data.dataparser.data).expanduser()
    find_layout(capture, data.dataparser.layout)
    if config.output_dir.expanduser().resolve().is_relative_to(capture.resolve()):
        raise HandsError(
            f"{config.output_dir}: expected an output folder outside of the capture, found one inside {capture}: give "
            "another --output-dir."
        )


def _require_device(machine: MachineConfig) -> None:
    kind, count = machine.device_type, machine.num_devices
    if kind not in ("cpu", "cuda"):
        raise HandsError(f"--machine.device-type: expected cpu or cuda, found {kind}: train on one of these.")
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if count > there:
        raise HandsError(
            f"--machine.device-type {kind}: expected {count} of them, found {there} on this machine: "
            + ("train with --machine.device-type cpu." if not there else f"give --machine.num-devices {there}.")
        )


def say(sentence: str) -> None:
    """Prints a sentence as it is, in one line that can be copied."""
    CONSOLE.print(sentence, markup=False, highlight=False, soft_wrap=True)


class HandTrainer(Trainer):
    """Writes a checkpoint under a temporary name first, and one more when the user or a fault stops the training."""

    config: HandTrainerConfig

    def setup(self, test_mode: typing.Literal["test", "val", "inference"] = "val") -> None:
        try:
            with memory_faults("model", training_remedy(self.config.pipeline)):
                super().setup(test_mode)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error

    def train_iteration(self, step: int) -> TRAIN_INTERATION_OUTPUT:
        with memory_faults(f"training step {step}", training_remedy(self.config.pipeline)):
            return super().train_iteration(step)

    def eval_iteration(self, step: int) -> None:
        with memory_faults(f"evaluation at step {step}", rendering_remedy(self.config.pipeline.model)):
            super().eval_iteration(step)

    def setup_optimizers(self) -> Optimizers:
        """nerfstudio's, with the length of the training in schedules that leave it open."""
        groups = {}
        for name, group in self.config.optimizers.items():
            scheduler = group["scheduler"]
            if isinstance(scheduler, CosineDecaySchedulerConfig) and scheduler.max_steps is None:
                scheduler = replace(scheduler, max_steps=self.config.max_num_iterations)
            groups[name] = {**group, "scheduler": scheduler}
        return Optimizers(groups, self.pipeline.get_param_groups())

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Writes the checkpoint of a step and, unless all are kept, removes older ones afterwards.

        Raises:
            HandsError: A parameter is not finite; nothing is written.
        """
        if not all_finite(self.pipeline):
            raise HandsError(
                f"training: expected finite parameters, found others at step {step}; no checkpoint of them is written, "
                "and older ones are kept. Lower the learning rates."
            )
        final_dir, self.checkpoint_dir = self.checkpoint_dir, self.checkpoint_dir / ".writing"
        try:
            super().save_checkpoint(step)
            written = self.checkpoint_dir / f"step-{step:09d}.ckpt"
            target = final_dir / written.name
            written.replace(target)
            self.checkpoint_dir.rmdir()
        finally:
            self.checkpoint_dir = final_dir
        if self.config.save_only_latest_checkpoint:
            for checkpoint in final_dir.glob("*.ckpt"):
                if checkpoint != target:
                    checkpoint.unlink()

    def _load_checkpoint(self) -> None:
        """nerfstudio's, but only files named as checkpoints are looked at."""
        if self.config.load_dir is not None and self.config.load_step is None:
            steps = [int(path.stem.split("-")[1]) for path in Path(self.config.load_dir).glob("step-*.ckpt")]
            if not steps:
                raise SystemExit(
                    f"error: {self.config.load_dir}: expected checkpoints named step-*.ckpt, found none; "
                    "give the run's nerfstudio_models folder."
                )
            self.config.load_step = max(steps)
        super()._load_checkpoint()

    def train(self) -> None:
        # nerfstudio makes this folder if it is not there, which fails where two processes do so at once.
        self.base_dir.mkdir(parents=True, exist_ok=True)
        try:
            super().train()
        except (KeyboardInterrupt, HandsError, SystemExit) as error:
            # The parameters were good before this step, unless it is they that this error tells of.
            if self.training_state != "completed" and self.step > self._start_step and all_finite(self.pipeline):
                self.save_checkpoint(self.step)
                CONSOLE.print(f"Stopped at step {self.step}. To go on: --load-dir {self.checkpoint_dir}")
            if isinstance(error, HandsError):
                raise SystemExit(f"error: {error}") from error
            raise


def all_finite(module: torch.nn.Module) -> bool:
    """Whether every parameter is a finite number."""
    return all(bool(parameter.isfinite().all()) for parameter in module.parameters())


def default_device() -> str:
    """The best device of this machine, as nerfstudio names them."""
    return "cuda" if torch.cuda.is_available() else "cpu"
