"""nerfstudio's pipeline as every method of this project has it: its commands patched, its weights and losses
checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Type

import torch
import torch.distributed as dist
from nerfstudio.data.datamanagers.base_datamanager import DataManagerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.checkpoints import (
    model_weights,
    patch_loading,
    require_finite_weights,
    require_same_weights,
)
from nerfstudio_hands.program.faults import patch_excepthook
from nerfstudio_hands.program.ffmpeg import offer_ffmpeg
from nerfstudio_hands.viewer.nerfstudio_patches import patch_viewer


@dataclass
class SoundPipelineConfig(VanillaPipelineConfig):
    """Data manager and model of a method of this project."""

    _target: Type = field(default_factory=lambda: SoundPipeline)
    """target class to instantiate"""
    datamanager: DataManagerConfig = field(default_factory=DataManagerConfig)
    """What a step sees."""

    @property
    def source(self) -> Any:
        """What says where the data comes from: the data parser, or a data manager that has none."""
        return getattr(self.datamanager, "dataparser", self.datamanager)

    def check_data(self) -> str:
        """What is trained on, in words.

        Raises:
            HandsError: The data is not there or is of another kind.
        """
        raise NotImplementedError

    def next_commands(self) -> tuple[str, ...]:
        """What a trained run is good for; `{config}` stands for its config.yml."""
        raise NotImplementedError


class SoundPipeline(VanillaPipeline):
    """What the trainer relies on."""

    def __init__(self, config: VanillaPipelineConfig, device: str, **kwargs) -> None:
        patch_excepthook()
        offer_ffmpeg()  # before `ns-render` looks for one
        # Images of containers turn on tensor cores that round positions to half a millimeter.
        torch.set_float32_matmul_precision("highest")
        patch_viewer()  # before a trainer or `ns-viewer` opens one
        super().__init__(config, device, **kwargs)
        patch_loading(SoundPipeline)  # before nerfstudio's commands look for a checkpoint
        self._check_export(sys.argv)

    def exports(self) -> tuple[str, ...]:
        """What `ns-export` can make of a run."""
        return ("cameras",)

    def export_remedy(self) -> str:
        """What makes files of a run instead."""
        raise NotImplementedError

    def _check_export(self, words: Sequence[str]) -> None:
        """Ends `ns-export`, if that is what runs, before it finds out halfway that it is for other methods."""
        wanted = words[1] if len(words) > 1 and Path(words[0]).stem == "ns-export" else None
        if wanted is not None and wanted not in self.exports():
            raise SystemExit(
                f"error: ns-export {wanted}: expected a method that it is for, found {type(self.model).__name__}, of "
                f"which there are {', '.join(self.exports())}: {self.export_remedy()}"
            )

    def held_out_psnr(self, step: int) -> Optional[float]:
        """Quality on held-out pixels, dB, for the lines that are printed; None where a method has none."""
        return None

    def training_steps(self) -> Optional[int]:
        """How long the data asks to be trained on; None leaves it to `max_num_iterations`."""
        return None

    def load_pipeline(self, loaded_state: Dict[str, Any], step: int) -> None:
        """nerfstudio's, which takes what fits and leaves the rest; weights of something else, or that are no numbers,
        end the program with one sentence."""
        try:
            weights = model_weights(loaded_state)
            require_same_weights(self.model.state_dict(), weights)
            require_finite_weights((name for name, _ in self.model.named_parameters()), weights)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        super().load_pipeline(loaded_state, step)

    def get_train_loss_dict(self, step: int):
        """nerfstudio's, but a loss that is not finite stops the training before it spoils the parameters.

        Raises:
            HandsError: A term of the loss is not a finite number.
        """
        outputs, losses, metrics = super().get_train_loss_dict(step)
        require_finite(losses, step)
        return outputs, losses, metrics


def require_finite(losses: Dict[str, Tensor], step: int) -> None:
    """Raises a HandsError if a term of the loss is not a finite number."""
    # A GPU is waited for once, whatever the number of terms.
    finite = torch.stack([value.detach().isfinite().all() for value in losses.values()]).all().float()
    if dist.is_available() and dist.is_initialized():
        # Were one process to stop alone, the others would wait for its gradients.
        dist.all_reduce(finite, dist.ReduceOp.MIN)
    if bool(finite):
        return
    remedy = "lower its weight or the learning rates."
    for name, value in losses.items():
        if not value.isfinite().all():
            raise HandsError(
                f"training: expected finite losses, found {float(value)} for '{name}' at step {step}; {remedy}"
            )
    raise HandsError(
        f"training: expected finite losses, found others in another process at step {step}; see what it says."
    )
