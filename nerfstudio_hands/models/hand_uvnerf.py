"""`hand-uvnerf`: the avatar whose field lives on the hand's surface, after LiveHand (ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Tuple, Type

from nerfstudio.utils.external import TCNN_EXISTS
from nerfstudio.utils.rich_utils import CONSOLE

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.hand_field import HandField
from nerfstudio_hands.models.hand_avatar import HandAvatarModel, HandAvatarModelConfig


@dataclass
class HandUVNeRFModelConfig(HandAvatarModelConfig):
    """Choices of `hand-uvnerf`."""

    _target: Type = field(default_factory=lambda: HandUVNeRFModel)
    """target class to instantiate"""
    position: Literal["uv", "canonical", "both"] = "uv"
    """What stands for the place on the surface: its texture coordinates, its zero-pose position, or both."""
    uv_resolutions: Tuple[int, ...] = (32, 128, 384)
    """Texels along a side of a hand's feature planes over (u, v), a level each."""
    canonical_resolutions: Tuple[int, ...] = (32, 96, 256)
    """Texels along a side of the three feature planes of the zero-pose position, a level each."""
    channels: int = 8
    """Features a level."""
    hidden_dim: int = 64
    """Width of the networks."""


class HandUVNeRFModel(HandAvatarModel):
    """Hand avatar over texture coordinates and distance to the surface."""

    config: HandUVNeRFModelConfig

    def make_field(self, avatar: AvatarData) -> HandField:
        if not TCNN_EXISTS:
            CONSOLE.log("tinycudann is not installed: the networks run on torch.")
        config = self.config
        surface = avatar.surface
        return HandField(
            surface.faces,
            surface.uv,
            surface.canonical,
            num_hands=len(surface.hands),
            pose_dim=self.hands.code_dim,
            position=config.position,
            uv_resolutions=config.uv_resolutions,
            canonical_resolutions=config.canonical_resolutions,
            channels=config.channels,
            hidden_dim=config.hidden_dim,
            implementation="tcnn" if TCNN_EXISTS else "torch",
        )
