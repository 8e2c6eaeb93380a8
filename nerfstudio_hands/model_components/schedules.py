"""What changes while a model is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nerfstudio.configs.base_config import PrintableConfig
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation

from nerfstudio_hands.program.option_range import Fraction


@dataclass
class Schedule(PrintableConfig):
    """Something that comes, or goes, evenly over a part of the training."""

    start: Fraction
    """Fraction of the training after which it begins."""
    end: Fraction
    """Fraction of the training after which it is over."""

    def progress(self, trained: float) -> float:
        """How much of it is over, from 0 to 1, after a fraction of the training."""
        if trained >= self.end:
            return 1.0
        return (trained - self.start) / (self.end - self.start) if trained > self.start else 0.0


def before_each_step(attributes: TrainingCallbackAttributes, act: Callable[[float], None]) -> TrainingCallback:
    """Calls `act` before every training step with the fraction of the training that is over."""
    steps = attributes.trainer.config.max_num_iterations

    def call(step: int) -> None:
        act(step / steps)

    return TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], call)
