"""A training of a method as nerfstudio's trainer would set it up, on a device that is pretended or there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from torch import Tensor

from helpers import pretend_cuda
from nerfstudio_hands.models.sample_model import SampleModel
from nerfstudio_hands.training.sound_pipeline import require_finite
from nerfstudio_hands.training.trainer import HandTrainer, HandTrainerConfig

PARTS = ("data", "forward", "losses", "backward")


class Rehearsal:
    """Pipeline and optimizers of a method, without files, viewer and log."""

    def __init__(self, config: HandTrainerConfig, device: str = "cuda:0") -> None:
        self.pipeline: Any = config.pipeline.setup(device=device, test_mode="val", world_size=1, local_rank=0)
        trainer = HandTrainer.__new__(HandTrainer)
        trainer.config, trainer.pipeline = config, self.pipeline
        self.optimizers = trainer.setup_optimizers()
        self._callbacks = self.pipeline.get_training_callbacks(
            TrainingCallbackAttributes(
                optimizers=self.optimizers,
                grad_scaler=None,  # pyright: ignore[reportArgumentType]
                pipeline=self.pipeline,
                trainer=trainer,
            )
        )

    def step(self, number: int) -> tuple[dict[str, Tensor], dict[str, Counter[str]]]:
        """A training step: its losses, and where each of its `PARTS` waited for the GPU."""
        model, found = self.pipeline.model, {}
        self.pipeline.train()
        for callback in self._callbacks:
            callback.run_callback_at_location(number, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        self.optimizers.zero_grad_all()

        def done(part: str) -> None:
            found[part] = Counter(pretend_cuda.waits)
            pretend_cuda.waits.clear()

        pretend_cuda.waits.clear()
        rays, batch = self.pipeline.datamanager.next_train(number)
        done("data")
        outputs = model(rays, batch) if isinstance(model, SampleModel) else model(rays)
        done("forward")
        losses = model.get_loss_dict(outputs, batch, model.get_metrics_dict(outputs, batch))
        require_finite(losses, number)
        done("losses")
        sum(losses.values()).backward()
        done("backward")
        self.optimizers.optimizer_step_all()
        self.optimizers.scheduler_step_all(number)
        return losses, found
