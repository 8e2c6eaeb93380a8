"""Choices of methods whose fields live in a shell round the fitted surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.models.posed_hand_model import PosedHandModelConfig
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import RayCount, Weight, bounded


@dataclass
class ShellFieldModelConfig(PosedHandModelConfig):
    """What these methods have in common."""

    eval_num_rays_per_chunk: RayCount = 16384
    """Rays rendered at once outside training."""
    shell: bounded(float, 0.0005, 0.05) = 0.005
    """Half width in meters of the shell round the fitted surface outside which space is empty."""
    num_samples: bounded(int, 1, 256) = 16
    """Samples a ray, spread over the parts of it that lie in the shell."""
    march_steps: bounded(int, 1, 4096) = 96
    """Steps at most by which a ray is followed to and through the shell."""
    layered_images: bool = False
    """Draw whole pictures by one look at each layer of the surface that a ray passes, not at samples as in training:
    some six times as fast, and nearly the same (of hand-uvnerf, and of hand-sdf without an object)."""
    channels: bounded(int, 1, 256) = 8
    """Features a level of the planes that hold what the hand looks like."""
    hidden_dim: bounded(int, 1, 4096) = 64
    """Width of the networks."""
    implementation: Literal["torch", "tcnn"] = "torch"
    """What the networks of color run on: torch, everywhere, or tinycudann, on CUDA alone (untried). Checkpoints of one
    are none of the other."""
    pose_code: bool = True
    """Tell the field the local rotations of the pose, where the training frames show more than one."""
    light_transfer: bool = True
    """Tell the field what light reaches each point in a pose: shading and self-shadow then hold in new poses."""
    color_loss_weight: Weight = 2.0
    """Weight of the color of hand pixels (Huber; one-sided where a picture is saturated)."""
    diffuse_loss_weight: Weight = 0.6
    """Weight of the same loss without the view-dependent part, so that this part stays what views disagree on."""
    opacity_loss_weight: Weight = 0.1
    """Weight of the binary cross-entropy between accumulated opacity and mask."""
    view_loss_weight: Weight = 1e-2
    """Weight of the squared view-dependent part of the color."""
    offset_loss_weight: Weight = 1e-2
    """Weight of the squared distance between learned and fitted surface, in half widths of the shell."""
    smoothness_loss_weight: Weight = 1e-3
    """Weight of the field's own regularization (total variation of feature planes)."""

    def training_remedy(self, data: HandDataManagerConfig) -> str:
        return f"{super().training_remedy(data)} or --pipeline.model.num-samples{now(self.num_samples)}"
