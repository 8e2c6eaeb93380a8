"""From points near posed hands to the canonical space of a field."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.canonical_warps import NearestSkinning, SkinningVolume
from nerfstudio_hands.fields.non_rigid import NonRigidOffset
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces


class CanonicalWarp(nn.Module):
    """Inverse skinning, and a learned offset of what that does not explain.

    Args:
        skinning: to the rest pose.
        non_rigid: the offset; None for none.
    """

    def __init__(self, skinning: NearestSkinning | SkinningVolume, non_rigid: NonRigidOffset | None):
        super().__init__()
        self.skinning, self.non_rigid = skinning, non_rigid

    def forward(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        posed: PosedSurfaces,
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"] | None]:
        """Places in canonical space, meters, and a factor in [0, 1] on the density there, or None for one.

        Args:
            points: nerfstudio's world.
            surface: which posed surface each belongs to.
            face: nearest own face.
            barycentric: where on it.
            posed: the posed surfaces.
        """
        nearest = posed.interpolate(posed.surfaces.vertices, surface, face, barycentric)
        bones = posed.bones[surface, self.skinning.hands.face_hand[face]]
        canonical, density_scale = self.skinning(points, face, barycentric, nearest, bones)
        if self.non_rigid is not None:
            canonical = canonical + self.non_rigid(canonical, posed.code[surface])
        return canonical, density_scale

    def non_rigid_size(self, codes: Float[Tensor, "S P"]) -> Float[Tensor, ""]:
        """Mean squared learned offset of the vertices in millimeters, each in one of some poses.

        Args:
            codes: codes of these poses.
        """
        vertices = self.skinning.hands.canonical
        code = codes[torch.randint(len(codes), (len(vertices),), device=vertices.device)]
        return (self.non_rigid(vertices, code) * 1000).square().mean()
