"""Gaussians in the frame of a rigid object, bound to nothing: where, how large, how opaque and of which color."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.surface_splats import (
    START_OPACITY,
    START_WIDTH,
    THICKNESS,
    VIEW_LEVELS,
    evenly_spread,
    logit,
)
from nerfstudio_hands.fields.vertex_look import START_COLOR
from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.mesh import face_areas, face_normals
from nerfstudio_hands.transforms.rotations import matrix_quaternion, quaternion_matrix


class FreeSplats(nn.Module):
    """N Gaussians, each anywhere and of any size; the first two of their own axes lie along the surface at first.

    Args:
        vertices: Of a surface that the object is near at first, meters in its frame.
        faces: Of this, counter-clockwise seen from outside.
        count: N.

    Attributes:
        mean: their middles, object's frame, meters [N, 3].
        log_half_axes: logarithms of one standard deviation along their own axes, meters [N, 3].
        quaternion: from their own axes to the object's, (x, y, z, w) of any length [N, 4].
        opacity: its logit, in the middle of each [N].
        color: seen from everywhere, as pictures are encoded [N, 3].
        view: what is added to it over the view mirrored at their third axis, the harmonics beyond the constant one
            [N, 3, 3].
    """

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], *, count: int):
        super().__init__()
        area = face_areas(vertices, faces)
        face, barycentric = evenly_spread(area, count)
        spacing = (area.sum() / count).sqrt()
        corners, normal = vertices[faces[face]], face_normals(vertices, faces)[face]
        along = F.normalize(corners[:, 1] - corners[:, 0], dim=-1)
        turn = torch.stack([along, torch.linalg.cross(normal, along), normal], dim=-1)
        half_axes = spacing * torch.tensor([START_WIDTH, START_WIDTH, THICKNESS]).to(spacing)
        self.mean = nn.Parameter(blend_corners(corners, barycentric))
        self.log_half_axes = nn.Parameter(half_axes.log().repeat(count, 1))
        self.quaternion = nn.Parameter(matrix_quaternion(turn))
        self.opacity = nn.Parameter(torch.full((count,), logit(START_OPACITY)))
        self.color = nn.Parameter(torch.full((count, 3), START_COLOR))
        self.view = nn.Parameter(torch.zeros(count, VIEW_LEVELS**2 - 1, 3))

    def __len__(self) -> int:
        return len(self.mean)

    def axes(self) -> Float[Tensor, "N 3 3"]:
        """The half axes, a row each, object's frame, meters."""
        return self.log_half_axes.exp()[..., None] * self._turns().transpose(1, 2)

    def normals(self) -> Float[Tensor, "N 3"]:
        """Unit third axes, object's frame: at first out of the surface, and along the shortest half axis."""
        return self._turns()[..., 2]

    def opacities(self) -> Float[Tensor, " N"]:
        """How much each hides in its middle."""
        return self.opacity.sigmoid()

    def farthest(self) -> float:
        """Meters from its middle at which none is seen any more: there it has 1/255 of the largest opacity."""
        return float(self.log_half_axes.detach().max().exp()) * math.sqrt(2 * math.log(255))

    def _turns(self) -> Float[Tensor, "N 3 3"]:
        return quaternion_matrix(F.normalize(self.quaternion, dim=-1))
