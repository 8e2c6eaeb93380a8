"""What stands for a place on the hand: texture coordinates, rest-pose surface position, or a point carried there."""

from __future__ import annotations

from typing import Literal, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.plane_encoding import PlaneEncoding
from nerfstudio_hands.fields.seams import seam_difference, seam_uv
from nerfstudio_hands.fields.surface_samples import SurfaceSamples
from nerfstudio_hands.fields.warps import surface_warp, uv_warp


class PositionEncoding(nn.Module):
    """Features of the place that sample points have on the hand, whatever the pose."""

    out_dim: int

    def forward(self, samples: SurfaceSamples) -> Float[Tensor, "N C"]:
        raise NotImplementedError

    def regularization(self) -> Float[Tensor, ""]:
        """Total variation of the feature planes."""
        planes = [module for module in self.modules() if isinstance(module, PlaneEncoding)]
        return torch.stack([plane.total_variation() for plane in planes]).sum()

    def seam_difference(self) -> Float[Tensor, ""]:
        """Mean squared difference of the features on both sides of a random point of every seam; zero without seams."""
        return next(self.parameters()).new_zeros(())


class SurfaceEncoding(PositionEncoding):
    """The nearest surface point's place: the distance from it is told to the field separately.

    Args:
        faces: faces of the surface [F, 3].
        face_uv: texture coordinates of every corner [F, 3, 2].
        canonical: vertices of the rest pose [V, 3], meters.
        num_hands: hands in the surface, whose atlases lie side by side.
        position: texture coordinates, rest-pose position of the surface point, or both.
        uv_resolutions: texels along a side of the feature planes over (u, v).
        canonical_resolutions: the same for the three planes of the rest-pose position.
        channels: features a level.
    """

    faces: Tensor
    face_uv: Tensor
    seams: Tensor
    canonical: Tensor

    def __init__(
        self,
        faces: Int[Tensor, "F 3"],
        face_uv: Float[Tensor, "F 3 2"],
        canonical: Float[Tensor, "V 3"],
        *,
        num_hands: int,
        position: Literal["uv", "canonical", "both"],
        uv_resolutions: Sequence[int],
        canonical_resolutions: Sequence[int],
        channels: int,
    ):
        super().__init__()
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("face_uv", face_uv, persistent=False)
        self.register_buffer("seams", seam_uv(faces, face_uv), persistent=False)
        lower, upper = canonical.amin(dim=0), canonical.amax(dim=0)
        self.register_buffer("canonical", (canonical - lower) / (upper - lower), persistent=False)
        self.uv_planes = (
            PlaneEncoding(2, uv_resolutions, channels, aspect=num_hands) if position in ("uv", "both") else None
        )
        self.canonical_planes = (
            PlaneEncoding(3, canonical_resolutions, channels) if position in ("canonical", "both") else None
        )
        self.out_dim = sum(e.out_dim for e in (self.uv_planes, self.canonical_planes) if e is not None)

    def forward(self, samples: SurfaceSamples) -> Float[Tensor, "N C"]:
        features = []
        if self.uv_planes is not None:
            features.append(self.uv_planes(uv_warp(self.face_uv, samples.face, samples.barycentric)))
        if self.canonical_planes is not None:
            features.append(
                self.canonical_planes(surface_warp(self.canonical, self.faces, samples.face, samples.barycentric))
            )
        return torch.cat(features, dim=-1)

    def seam_difference(self) -> Float[Tensor, ""]:
        if self.uv_planes is None or not len(self.seams):
            return super().seam_difference()
        return seam_difference(self.seams, self.uv_planes)


class CanonicalEncoding(PositionEncoding):
    """The sample's own place in the rest pose, to which a warp carried it.

    Args:
        low, high: corners of the box in canonical space that the planes span [3], meters.
        resolutions: texels along a side of the three planes, a level each.
        channels: features a level.
    """

    low: Tensor
    size: Tensor

    def __init__(self, low: Float[Tensor, "3"], high: Float[Tensor, "3"], *, resolutions: Sequence[int], channels: int):
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("size", high - low)
        self.planes = PlaneEncoding(3, resolutions, channels)
        self.out_dim = self.planes.out_dim

    def forward(self, samples: SurfaceSamples) -> Float[Tensor, "N C"]:
        return self.planes((samples.canonical - self.low) / self.size)
