"""`hand-uvnerf`: the avatar whose field lives on the hand's surface, after LiveHand (ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Tuple, Type

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.position_encoding import SurfaceEncoding
from nerfstudio_hands.models.volumetric_hand import VolumetricHandModel, VolumetricHandModelConfig
from nerfstudio_hands.program.option_range import bounded


@dataclass
class HandUVNeRFModelConfig(VolumetricHandModelConfig):
    """Choices of `hand-uvnerf`."""

    _target: Type = field(default_factory=lambda: HandUVNeRFModel)
    """target class to instantiate"""
    position: Literal["uv", "canonical", "both"] = "uv"
    """What stands for the place on the surface: its texture coordinates, its rest-pose position, or both."""
    uv_resolutions: bounded(Tuple[int, ...], 2, 4096) = (32, 128, 384)
    """Texels along a side of a hand's feature planes over (u, v), a level each."""
    canonical_resolutions: bounded(Tuple[int, ...], 2, 2048) = (32, 96, 256)
    """Texels along a side of the three feature planes of the rest-pose position, a level each."""


class HandUVNeRFModel(VolumetricHandModel):
    """Hand avatar over texture coordinates and distance to the surface."""

    config: HandUVNeRFModelConfig

    def make_position_encoding(self, avatar: AvatarData) -> SurfaceEncoding:
        surface = avatar.surface
        return SurfaceEncoding(
            surface.faces,
            surface.uv,
            surface.canonical,
            num_hands=surface.num_hands,
            position=self.config.position,
            uv_resolutions=self.config.uv_resolutions,
            canonical_resolutions=self.config.canonical_resolutions,
            channels=self.config.channels,
        )
