"""Schedules of learning rates that reload."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass, field

from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from torch.optim import Optimizer, lr_scheduler

from nerfstudio_hands.program.option_range import Fraction, bounded


@dataclass
class MilestonesSchedulerConfig(SchedulerConfig):
    """The rate falls at parts of the training, however long that is."""

    _target: typing.Type = field(default_factory=lambda: MilestonesScheduler)
    """target class to instantiate"""
    milestones: typing.Tuple[Fraction, ...] = (0.5, 0.75)
    """Parts of the training after which the rate falls."""
    factor: Fraction = 0.5
    """What it is multiplied with."""
    max_steps: bounded(typing.Optional[int], 1, 10**9) = None
    """Length of the training; by default that of this one."""


class MilestonesScheduler(Scheduler):
    """Steps at fractions of a training's length."""

    config: MilestonesSchedulerConfig

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> lr_scheduler.LRScheduler:
        config = self.config
        steps = [round(part * _known(config.max_steps)) for part in config.milestones]
        return lr_scheduler.MultiStepLR(optimizer, steps, config.factor)


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
        max_steps = _known(config.max_steps)

        def factor(step: int) -> float:
            if step < config.warmup_steps:
                return (step + 1) / (config.warmup_steps + 1)
            progress = min((step - config.warmup_steps) / max(max_steps - config.warmup_steps, 1), 1.0)
            return config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))

        return lr_scheduler.LambdaLR(optimizer, lr_lambda=factor)


def warmed_up_cosine(step: int, steps: int, warm_up: int = 100) -> float:
    """Share of a learning rate at a step of so many: a linear warm-up within a half cosine that ends at zero."""
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))


def _known(max_steps: int | None) -> int:
    if max_steps is None:
        raise ValueError("A schedule without max_steps needs a HandTrainer, which knows the length of the training.")
    return max_steps


OPEN_SCHEDULES = (CosineDecaySchedulerConfig, MilestonesSchedulerConfig)
"""Schedules that may leave the length of the training to the trainer."""
