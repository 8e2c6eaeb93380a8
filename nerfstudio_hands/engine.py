"""What nerfstudio's trainer does not do: checkpoints that no kill and no fault can spoil, and schedules that reload."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from nerfstudio.engine.trainer import TRAIN_INTERATION_OUTPUT, Trainer, TrainerConfig
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE
from torch.optim import Optimizer, lr_scheduler

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.memory import memory_faults, rendering_remedy, training_remedy


@dataclass
class CosineDecaySchedulerConfig(SchedulerConfig):
    """Warm-up, then a half cosine from the optimiser's learning rate to a fraction of it."""

    _target: typing.Type = field(default_factory=lambda: CosineDecayScheduler)
    """target class to instantiate"""
    warmup_steps: int = 50
    """Steps over which the rate rises linearly from near zero."""
    max_steps: typing.Optional[int] = None
    """Step at which the rate reaches its end; by default the last step of the training."""
    final_fraction: float = 0.05
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
class HandTrainerConfig(TrainerConfig):
    """nerfstudio's trainer with checkpoints that are whole or absent."""

    _target: typing.Type = field(default_factory=lambda: HandTrainer)
    """target class to instantiate"""

    def save_config(self) -> None:
        try:
            super().save_config()
        except OSError as error:
            raise SystemExit(
                f"error: {self.output_dir}: expected a folder to write the run to, found '{error.strerror or error}'; "
                "choose another --output-dir."
            ) from error


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
