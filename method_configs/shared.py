"""What trainings of all methods have in common."""

from typing import Any

from nerfstudio.engine.optimizers import OptimizerConfig

from nerfstudio_hands.training.optimizers import FusedAdamConfig
from nerfstudio_hands.training.schedules import CosineDecaySchedulerConfig
from nerfstudio_hands.training.trainer import default_device

DEVICE = default_device()
ON_GPU = DEVICE == "cuda"
RAYS_AT_ONCE = 2**18 if ON_GPU else 2**14
"""Rays rendered at once outside training: all of a picture of 512 x 334 on a GPU, whose time goes to starting kernels.
"""


def decaying(optimizer: OptimizerConfig, **schedule: float) -> dict[str, Any]:
    """An optimizer whose rate falls along a half cosine, to the end of the training."""
    return {"optimizer": optimizer, "scheduler": CosineDecaySchedulerConfig(**schedule)}  # pyright: ignore[reportArgumentType]


def adam(rate: float, eps: float = 1e-10) -> dict[str, Any]:
    """Adam at such a rate in the beginning."""
    return decaying(FusedAdamConfig(lr=rate, eps=eps))
