"""The pipeline of methods whose batch is samples of one hand each, and not rays."""

from __future__ import annotations

from typing import Any, Dict, cast

import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.checkpoints import HAND, model_weights, require_same_hand
from nerfstudio_hands.models.sample_model import SampleModel, Surroundings
from nerfstudio_hands.training.sound_pipeline import SoundPipeline, SoundPipelineConfig, require_finite


class SamplePipeline(SoundPipeline):
    """Batches go through the model as they are.

    The data manager has a `train_dataset` and an `eval_dataset` with a camera a sample and `metadata["rows"]`, the
    samples' indices; `sample(row, split)` as a batch of one; and `test_split`, which the latter is of.
    """

    datamanager: Any

    def __init__(self, config: SoundPipelineConfig, device: str, **kwargs: Any) -> None:
        super().__init__(config, device, **kwargs)
        manager = self.datamanager
        places, focals = {}, {}
        for split, dataset in {"train": manager.train_dataset, manager.test_split: manager.eval_dataset}.items():
            keys, cameras = [(split, row) for row in dataset.metadata["rows"]], dataset.cameras
            places |= zip(keys, cameras.camera_to_worlds[:, :, 3], strict=True)
            focals |= zip(keys, (cameras.fy / cameras.height)[:, 0].tolist(), strict=True)
        self.model.surroundings = Surroundings(manager.sample, places, focals, manager.test_split)

    @property
    def model(self) -> SampleModel:
        return cast(SampleModel, super().model)

    def load_pipeline(self, loaded_state: Dict[str, Any], step: int) -> None:
        own, weights = self.model.state_dict(), model_weights(loaded_state)
        if HAND in own:
            try:
                require_same_hand(own[HAND], weights)
            except HandsError as error:
                raise SystemExit(f"error: {error}") from error
            # Older checkpoints name none.
            if HAND not in weights:
                wrapped = any(name.startswith("_model.module.") for name in loaded_state)
                loaded_state = {**loaded_state, f"_model.{'module.' * wrapped}{HAND}": own[HAND]}
        super().load_pipeline(loaded_state, step)

    def get_train_loss_dict(self, step: int):
        self.model.update_to_step(step)
        camera, batch = self.datamanager.next_train(step)
        # By the wrapped model, so that several processes share their gradients.
        outputs = self._model(camera, batch)
        metrics = self.model.get_metrics_dict(outputs, batch)
        losses = self.model.get_loss_dict(outputs, batch, metrics)
        require_finite(losses, step)
        return outputs, losses, metrics

    @torch.no_grad()
    def get_eval_loss_dict(self, step: int):
        self.eval()
        camera, batch = self.datamanager.next_eval(step)
        outputs = self.model(camera, batch)
        metrics = self.model.get_metrics_dict(outputs, batch)
        losses = self.model.get_loss_dict(outputs, batch, metrics)
        self.train()
        return outputs, losses, metrics
