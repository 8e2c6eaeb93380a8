"""Optimizers."""

from __future__ import annotations

from dataclasses import dataclass

from nerfstudio.engine.optimizers import AdamOptimizerConfig


@dataclass
class FusedAdamConfig(AdamOptimizerConfig):
    """Adam that goes over each parameter once: a fifth of the time on a CPU, and one kernel on a GPU."""

    fused: bool = True
    """Whether it does; else an operation at a time."""
