"""`hand-canonical`: the avatar whose field lives in the hand's rest pose, after NeuMan and HumanNeRF."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Literal, Tuple, Type

from jaxtyping import Float
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.canonical_warps import CanonicalHands, NearestSkinning, SkinningVolume
from nerfstudio_hands.fields.hand_field import Geometry, Radiance
from nerfstudio_hands.fields.non_rigid import NonRigidOffset
from nerfstudio_hands.fields.position_encoding import CanonicalEncoding
from nerfstudio_hands.model_components.canonical_warp import CanonicalWarp
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.schedules import Schedule, before_each_step
from nerfstudio_hands.models.volumetric_hand import VolumetricHandModel, VolumetricHandModelConfig
from nerfstudio_hands.program.option_range import Weight, bounded


@dataclass
class HandCanonicalModelConfig(VolumetricHandModelConfig):
    """Choices of `hand-canonical`."""

    _target: Type = field(default_factory=lambda: HandCanonicalModel)
    """target class to instantiate"""
    skinning: Literal["nearest", "volume"] = "nearest"
    """How points are carried to the rest pose: by the weights of the nearest surface point (NeuMan), or by a learned
    volume of weights (HumanNeRF)."""
    resolutions: bounded(Tuple[int, ...], 2, 2048) = (32, 96, 256)
    """Texels along a side of the three feature planes over the rest pose, a level each."""
    volume_resolution: bounded(int, 2, 512) = 48
    """Cells of the weight volume along the longest side of a hand."""
    volume_loss_weight: Weight = 1e-2
    """Weight of the total variation of what the weight volume learns on top of its start."""
    non_rigid: bool = True
    """Add a learned offset that depends on the pose to places in the rest pose."""
    non_rigid_schedule: Schedule = field(default_factory=lambda: Schedule(start=0.3, end=0.4))
    """Part of the training over which this offset is admitted."""
    non_rigid_loss_weight: Weight = 1e-2
    """Weight of the mean squared offset, in millimeters."""


class HandCanonicalModel(VolumetricHandModel):
    """Hand avatar over places in the rest pose."""

    config: HandCanonicalModelConfig
    warp: CanonicalWarp

    def make_warp(self, avatar: AvatarData) -> CanonicalWarp:
        config, code_dim = self.config, self.hands.code_dim
        hands = CanonicalHands(avatar.surface, avatar.shape, avatar.displacement)
        nearest = config.skinning == "nearest"
        skinning = NearestSkinning(hands) if nearest else SkinningVolume(hands, resolution=config.volume_resolution)
        non_rigid = NonRigidOffset(*hands.box(), pose_dim=code_dim) if config.non_rigid and code_dim else None
        return CanonicalWarp(skinning, non_rigid)

    def make_position_encoding(self, avatar: AvatarData) -> CanonicalEncoding:
        low, high = self.warp.skinning.hands.box()
        return CanonicalEncoding(low, high, resolutions=self.config.resolutions, channels=self.config.channels)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups, warp = super().get_param_groups(), list(self.warp.parameters())
        return {**groups, "warp": warp} if warp else groups

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def admit(trained: float) -> None:
            self.warp.non_rigid.progress.fill_(self.config.non_rigid_schedule.progress(trained))

        callbacks = super().get_training_callbacks(attributes)
        return callbacks if self.warp.non_rigid is None else [*callbacks, before_each_step(attributes, admit)]

    def penalty(self, geometry: Geometry, radiance: Radiance, posed: PosedSurfaces) -> Float[Tensor, ""]:
        penalty, config = super().penalty(geometry, radiance, posed), self.config
        if config.skinning == "volume":
            penalty = penalty + config.volume_loss_weight * self.warp.skinning.total_variation()  # pyright: ignore[reportCallIssue]
        if self.warp.non_rigid is not None:
            penalty = penalty + config.non_rigid_loss_weight * self.warp.non_rigid_size(posed.code)
        return penalty
