"""The camera behind a picture's rays."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.errors import HandsError

MAX_BEND = 0.01
"""Largest departure of directions from an affine grid, in pixels."""


def pinhole_transform(directions: Float[Tensor, "H W 3"]) -> Float[Tensor, "3 3"]:
    """What turns places relative to a camera's center into column times depth, row times depth, and depth; float64.

    Args:
        directions: Ray directions of z-depth one of a picture of at least two rows and columns, affine in column and
            row, which are whole numbers here; gradients reach them.

    Raises:
        HandsError: The directions are not affine.
    """
    height, width = directions.shape[:2]
    corner = directions[0, 0].double()
    across, down = (directions[0, -1] - corner) / (width - 1), (directions[-1, 0] - corner) / (height - 1)
    # Not the middle, which a lens that bends all sides alike leaves where it is.
    row, column = height // 4, width // 4
    bent = directions[row, column] - corner - column * across - row * down
    if bool(bent.norm() > MAX_BEND * torch.minimum(across.norm(), down.norm())):
        raise HandsError(
            "camera: expected a perspective one, as a mesh is drawn for, found one of bent rays (fisheye, panorama): "
            "give another camera, or use a method that is a field."
        )
    return torch.linalg.inv_ex(torch.stack([across, down, corner], dim=1)).inverse
