"""`hand-canonical`: the avatar whose field lives in the hand's zero pose, after NeuMan and HumanNeRF."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Literal, Tuple, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.canonical_warps import CanonicalHands, NearestSkinning, SkinningVolume
from nerfstudio_hands.fields.hand_field import Geometry, Radiance
from nerfstudio_hands.fields.non_rigid import NonRigidOffset
from nerfstudio_hands.fields.position_encoding import CanonicalEncoding
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.models.hand_avatar import HandAvatarModel, HandAvatarModelConfig
from nerfstudio_hands.program.option_range import Fraction, Weight, bounded

MARGIN = 0.012
"""Metres round the zero pose that the field covers."""


@dataclass
class HandCanonicalModelConfig(HandAvatarModelConfig):
    """Choices of `hand-canonical`."""

    _target: Type = field(default_factory=lambda: HandCanonicalModel)
    """target class to instantiate"""
    skinning: Literal["nearest", "volume"] = "nearest"
    """How points are carried to the zero pose: by the weights of the nearest surface point (NeuMan), or by a learned
    volume of weights (HumanNeRF)."""
    resolutions: bounded(Tuple[int, ...], 2, 2048) = (32, 96, 256)
    """Texels along a side of the three feature planes over the zero pose, a level each."""
    volume_resolution: bounded(int, 2, 512) = 48
    """Cells of the weight volume along the longest side of a hand."""
    volume_penalty: Weight = 1e-2
    """Weight of the total variation of what the weight volume learns on top of its start."""
    non_rigid: bool = True
    """Add a learned offset that depends on the pose to places in the zero pose."""
    non_rigid_from: Fraction = 0.3
    """Share of the training after which this offset is let in, over another tenth."""
    non_rigid_penalty: Weight = 1e-2
    """Weight of the mean squared offset, in millimetres."""


class HandCanonicalModel(HandAvatarModel):
    """Hand avatar over places in the zero pose."""

    config: HandCanonicalModelConfig

    def make_position_encoding(self, avatar: AvatarData) -> CanonicalEncoding:
        hands = CanonicalHands(avatar.surface, avatar.shape, avatar.displacement)
        low, high = hands.canonical.amin(dim=0) - MARGIN, hands.canonical.amax(dim=0) + MARGIN
        self.skinning = (
            NearestSkinning(hands)
            if self.config.skinning == "nearest"
            else SkinningVolume(hands, resolution=self.config.volume_resolution)
        )
        code_dim = self.hands.code_dim
        self.non_rigid = NonRigidOffset(low, high, pose_dim=code_dim) if self.config.non_rigid and code_dim else None
        return CanonicalEncoding(low, high, resolutions=self.config.resolutions, channels=self.config.channels)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = super().get_param_groups()
        warp = [*self.skinning.parameters(), *(self.non_rigid.parameters() if self.non_rigid is not None else ())]
        return {**groups, "warp": warp} if warp else groups

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        callbacks = super().get_training_callbacks(attributes)
        if self.non_rigid is not None:

            def let_in(share: float) -> None:
                since = (share - self.config.non_rigid_from) / 0.1
                self.non_rigid.share.fill_(min(max(since, 0.0), 1.0))

            callbacks.append(self.before_each_step(attributes, let_in))
        return callbacks

    def warp(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        posed: PosedSurfaces,
    ) -> Tuple[Float[Tensor, "N 3"], Float[Tensor, "N"] | None]:
        nearest = posed.interpolate(posed.surfaces.vertices, surface, face, barycentric)
        bones = posed.bones[surface, self.skinning.hands.face_hand[face]]
        places, gate = self.skinning(points, face, barycentric, nearest, bones)
        if self.non_rigid is not None:
            places = places + self.non_rigid(places, posed.code[surface])
        return places, gate

    def penalty(self, geometry: Geometry, radiance: Radiance, posed: PosedSurfaces) -> Float[Tensor, ""]:
        terms = [super().penalty(geometry, radiance, posed)]
        if isinstance(self.skinning, SkinningVolume):
            terms.append(self.config.volume_penalty * self.skinning.total_variation())
        if self.non_rigid is not None:
            vertices = self.skinning.hands.canonical
            code = posed.code[torch.randint(len(posed.code), (len(vertices),), device=vertices.device)]
            offset = self.non_rigid(vertices, code) * 1000
            terms.append(self.config.non_rigid_penalty * offset.square().mean())
        return torch.stack(terms).sum()
