"""Frames that faces carry along as their surface moves and stretches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class FaceFrames(nn.Module):
    """A frame a face: along its first edge, across it in its plane, and along its normal; at right angles at rest.

    The first two move as the plane does, so that what is laid out in them stretches and shears with the face; the
    third stays the unit normal.

    Args:
        vertices: At rest, meters.
        faces: Corners of the faces, none without area.
    """

    faces: Tensor
    lengths: Tensor

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]):
        super().__init__()
        first, second = self._edges(vertices, faces)
        length = first.norm(dim=-1)
        along = (first * second).sum(dim=-1) / length
        across = (second - (along / length)[:, None] * first).norm(dim=-1)
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("lengths", torch.stack([length, along, across], dim=-1), persistent=False)

    def forward(self, vertices: Float[Tensor, "V 3"]) -> Float[Tensor, "F 3 3"]:
        """The frames of a moved surface, an axis a row; gradients reach the vertices."""
        first, second = self._edges(vertices, self.faces)
        length, along, across = self.lengths[..., None].unbind(1)
        start = first / length
        side = (second - along * start) / across
        return torch.stack([start, side, F.normalize(torch.linalg.cross(first, second), dim=-1)], dim=1)

    @staticmethod
    def _edges(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = vertices[faces].unbind(1)
        return b - a, c - a
