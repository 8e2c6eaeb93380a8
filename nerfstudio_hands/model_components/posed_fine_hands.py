"""Posed hands of many vertices, whose detail is still to be learned."""

from __future__ import annotations

from dataclasses import replace

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.geometry import Surfaces
from nerfstudio_hands.geometry.light.transfer import light_transfer
from nerfstudio_hands.hand_model import HandPose, HandSurface
from nerfstudio_hands.hand_model.subdivided import SubdivisionTransfer, subdivide_surface
from nerfstudio_hands.model_components.posed_hands import PosedHands

BLOCKED_LEVELS = 3
"""Levels of spherical harmonics of the light that fingers take from each other and from the palm."""


class PosedFineHands(PosedHands):
    """Hands subdivided.

    `PosedSurfaces.light` holds the coefficients of the light that the hand itself blocks [S, V, 9]: irradiance over pi
    is less by their product with the light's. It varies slowly, and is cast at the vertices of the hand model only.

    Args:
        avatar: the hands and their poses.
        levels: how often each face is cut in four.
        refine: whether the poses are parameters.
        pose_code: whether the field is told the pose.
        casts_light: whether there is a light transfer.
    """

    model_vertices: Tensor

    def __init__(
        self, avatar: AvatarData, levels: int, *, refine: bool, pose_code: bool = False, casts_light: bool = True
    ):
        fine = subdivide_surface(avatar.surface, levels)
        carry = SubdivisionTransfer(avatar.surface, levels)
        displacement = carry(avatar.displacement)
        super().__init__(replace(avatar, surface=fine, displacement=displacement), refine=refine, pose_code=pose_code)
        self.light_levels = BLOCKED_LEVELS if casts_light else 0
        self.model_surface, self.carry = avatar.surface, carry
        # A subdivided hand begins with the vertices of its model, a little smoothed.
        pairs = zip(fine.vertex_slices, avatar.surface.hands, strict=True)
        index = torch.cat([torch.arange(part.start, part.start + hand.num_vertices) for part, hand in pairs])
        self.register_buffer("model_vertices", index, persistent=False)

    @property
    def model_offset(self) -> Float[Tensor, "U 3"]:
        """What the vertices of the hand model, not subdivided, are moved by, meters: by its fit and by `set_offset`."""
        fitted = self.carry.undo(self.displacement[self.model_vertices])
        return fitted if self.offset is None else fitted + self.offset[self.model_vertices]

    def cast_light(self, surfaces: Surfaces, normals: Float[Tensor, "S V 3"]) -> Float[Tensor, "S V 9"]:
        blocked = light_transfer(
            surfaces, normals, num_levels=self.light_levels, vertices=self.model_vertices, blocked=True
        )
        return self.carry(blocked.transpose(0, 1)).transpose(0, 1)

    def _apply(self, fn, recurse=True):
        module = super()._apply(fn, recurse)
        self.model_surface = self.model_surface.to(self.shape.device)
        return module


def subdivision_offset(avatar: AvatarData, hands: PosedFineHands) -> float:
    """How far the smooth surface lies outside of the flat faces that were fitted: what it holds more over its area,
    meters, in the rest pose.

    Args:
        avatar: the hands with flat faces.
        hands: the same, subdivided.
    """
    flat, smooth = (
        _solid(part.surface, avatar.shape, part.displacement)
        for part in (avatar, replace(avatar, surface=hands.surface, displacement=hands.displacement))
    )
    return float((smooth.volume - flat.volume) / smooth.area)


def _solid(surface: HandSurface, shape: Float[Tensor, "K"], displacement: Float[Tensor, "V 3"]) -> trimesh.Trimesh:
    """The rest pose, closed at the wrists."""
    vertices = surface.pose(HandPose.rest(surface.num_hands, (1,)), shape, displacement).vertices[0]
    return trimesh.Trimesh(vertices, torch.cat([surface.faces, surface.closing_faces]), process=False)
