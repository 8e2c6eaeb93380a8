"""The radiance of a hand near its surface: what is evaluated behind the warps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.field_components.encodings import NeRFEncoding
from nerfstudio.field_components.mlp import MLP
from nerfstudio.utils.math import components_from_spherical_harmonics
from torch import Tensor, nn

from nerfstudio_hands.fields.plane_encoding import PlaneEncoding
from nerfstudio_hands.fields.seams import seam_edges
from nerfstudio_hands.fields.warps import surface_warp, uv_warp

NUM_SH_LEVELS = 4
GEOMETRY_FEATURES = 15
HEIGHT_FREQUENCIES = 4


@dataclass
class SurfacePoints:
    """Where sample points lie relative to the posed surface.

    Attributes:
        face: nearest face [N].
        barycentric: barycentric coordinates of the nearest surface point [N, 3].
        height: signed distance over the shell's half width, in [-1, 1] inside the shell, positive outside the hand [N].
        normal: smooth unit normal of the posed surface at the nearest point, world frame [N, 3].
    """

    face: Int[Tensor, "N"]
    barycentric: Float[Tensor, "N 3"]
    height: Float[Tensor, "N"]
    normal: Float[Tensor, "N 3"]


@dataclass
class FieldOutputs:
    """What the field says of sample points.

    Attributes:
        shift: how far below the fitted surface the learned one lies, in half widths of the shell, in (-1, 1) [N].
        diffuse: colour without the view-dependent part, linear in the camera's units and unbounded above [N, 3].
        color: colour seen from the given direction [N, 3].
        view_residual: the view-dependent part before the activation; regularised towards zero [N, 3].
    """

    shift: Float[Tensor, "N"]
    diffuse: Float[Tensor, "N 3"]
    color: Float[Tensor, "N 3"]
    view_residual: Float[Tensor, "N 3"]


class HandField(nn.Module):
    """Learned surface offset and colour over (place on the surface, height, pose, view direction).

    Args:
        faces: faces of the surface [F, 3].
        face_uv: texture coordinates of every corner [F, 3, 2].
        canonical: vertices of the zero pose [V, 3], metres.
        num_hands: hands in the surface, whose atlases lie side by side.
        pose_dim: numbers of the pose code.
        position: what stands for the place on the surface: its texture coordinates, its zero-pose position, or both.
        uv_resolutions: texels along a side of the feature planes over (u, v).
        canonical_resolutions: the same for the three planes of the zero-pose position.
        channels: features a level.
        hidden_dim: width of the networks.
        implementation: "tcnn" or "torch", for the networks.
    """

    def __init__(
        self,
        faces: Int[Tensor, "F 3"],
        face_uv: Float[Tensor, "F 3 2"],
        canonical: Float[Tensor, "V 3"],
        *,
        num_hands: int,
        pose_dim: int,
        position: Literal["uv", "canonical", "both"],
        uv_resolutions: tuple[int, ...],
        canonical_resolutions: tuple[int, ...],
        channels: int,
        hidden_dim: int,
        implementation: Literal["tcnn", "torch"],
    ):
        super().__init__()
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("face_uv", face_uv, persistent=False)
        face, corner = seam_edges(faces, face_uv)
        self.register_buffer("seams", face_uv[face[..., None], corner], persistent=False)
        lower, upper = canonical.amin(dim=0), canonical.amax(dim=0)
        self.register_buffer("canonical", (canonical - lower) / (upper - lower), persistent=False)
        self.uv_encoding = (
            PlaneEncoding(2, uv_resolutions, channels, aspect=num_hands) if position in ("uv", "both") else None
        )
        self.canonical_encoding = (
            PlaneEncoding(3, canonical_resolutions, channels) if position in ("canonical", "both") else None
        )
        position_dim = sum(e.out_dim for e in (self.uv_encoding, self.canonical_encoding) if e is not None)
        self.height_encoding = NeRFEncoding(
            in_dim=1,
            num_frequencies=HEIGHT_FREQUENCIES,
            min_freq_exp=-1.0,
            max_freq_exp=HEIGHT_FREQUENCIES - 2.0,
            include_input=True,
        )

        def network(in_dim: int, num_layers: int, out_dim: int) -> MLP:
            return MLP(
                in_dim=in_dim,
                num_layers=num_layers,
                layer_width=hidden_dim,
                out_dim=out_dim,
                activation=nn.ReLU(),
                implementation=implementation,
            )

        self.geometry = network(
            position_dim + self.height_encoding.get_out_dim() + pose_dim, num_layers=3, out_dim=1 + GEOMETRY_FEATURES
        )
        self.diffuse = network(position_dim + GEOMETRY_FEATURES, num_layers=2, out_dim=3)
        self.view = network(GEOMETRY_FEATURES + NUM_SH_LEVELS**2 + 1, num_layers=2, out_dim=3)

    def encode_position(self, points: SurfacePoints) -> Float[Tensor, "N C"]:
        """Features of the place on the surface, whatever stands for it."""
        features = []
        if self.uv_encoding is not None:
            features.append(self.uv_encoding(uv_warp(self.face_uv, points.face, points.barycentric)))
        if self.canonical_encoding is not None:
            features.append(
                self.canonical_encoding(surface_warp(self.canonical, self.faces, points.face, points.barycentric))
            )
        return torch.cat(features, dim=-1)

    def forward(
        self, points: SurfacePoints, directions: Float[Tensor, "N 3"], pose_code: Float[Tensor, "N P"]
    ) -> FieldOutputs:
        """Evaluates the field.

        Args:
            points: where the samples lie relative to the posed surface.
            directions: unit viewing directions, from the camera, world frame.
            pose_code: code of the pose that the samples' surface is in.
        """
        position = self.encode_position(points)
        height = points.height[:, None]
        geometry = self.geometry(torch.cat([position, self.height_encoding(height), pose_code], dim=-1)).float()
        shift, features = geometry[:, 0], geometry[:, 1:]
        diffuse_logit = self.diffuse(torch.cat([position, features], dim=-1)).float()
        # Gloss depends on the mirrored direction rather than on the direction itself (Ref-NeRF, arXiv 2112.03907).
        facing = (directions * points.normal).sum(dim=-1, keepdim=True)
        mirrored = directions - 2 * facing * points.normal
        view_residual = self.view(
            torch.cat([features, components_from_spherical_harmonics(NUM_SH_LEVELS, mirrored), facing], dim=-1)
        ).float()
        return FieldOutputs(
            shift=torch.tanh(shift),
            diffuse=F.softplus(diffuse_logit),
            color=F.softplus(diffuse_logit + view_residual),
            view_residual=view_residual,
        )

    def seam_difference(self) -> Float[Tensor, ""]:
        """Mean squared difference of the features on both sides of a random point of every seam of the atlas."""
        if self.uv_encoding is None or not len(self.seams):
            return torch.zeros((), device=self.faces.device)
        along = torch.rand(len(self.seams), 1, 1, device=self.seams.device)
        points = torch.lerp(self.seams[:, :, 0], self.seams[:, :, 1], along)  # [E, side, 2]
        first, second = self.uv_encoding(points.transpose(0, 1).reshape(-1, 2)).chunk(2)
        return (first - second).square().mean()

    def regularisation(self) -> Float[Tensor, ""]:
        """Total variation of the feature planes."""
        return sum(
            (e.total_variation() for e in (self.uv_encoding, self.canonical_encoding) if e is not None),
            start=torch.zeros((), device=self.faces.device),
        )
