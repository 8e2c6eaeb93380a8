"""Gaussians as files of "3D Gaussian splatting" (Kerbl et al. 2023) have them: half axes at right angles and a turn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.model_components.export_source import SplatCloud
from nerfstudio_hands.transforms.rotations import matrix_quaternion

CONSTANT_HARMONIC = 0.28209479177387814
"""Factor of the constant harmonic, to whose product one half is added."""

LINEAR_SIGNS = (-1.0, 1.0, -1.0)
"""The files' harmonics of level one are (-y, z, -x) times a number, ours (y, z, x) times the same."""


@dataclass(frozen=True)
class SplatEllipsoids:
    """N Gaussians in the world of a file.

    Attributes:
        means: Their middles, meters.
        half_axes: One standard deviation long, meters.
        quaternions: From their own axes to the world, (x, y, z, w).
        opacities: In their middles, in [0, 1].
        constant: Coefficients of the constant harmonic, a channel each.
        linear: Coefficients of level one, channel by channel.
    """

    means: Float[Tensor, "N 3"]
    half_axes: Float[Tensor, "N 3"]
    quaternions: Float[Tensor, "N 4"]
    opacities: Float[Tensor, " N"]
    constant: Float[Tensor, "N 3"]
    linear: Float[Tensor, "N 3 3"]


def splat_ellipsoids(cloud: SplatCloud, transform: Float[Tensor, "3 4"]) -> SplatEllipsoids:
    """The same Gaussians elsewhere.

    Args:
        cloud: Gaussians.
        transform: From their world to that of the file, rigid.
    """
    rotation = transform[:, :3].to(cloud.means)
    half_axes, quaternions = _principal_axes(cloud.axes @ rotation.T)
    y, z, x = cloud.linear.unbind(1)
    turned = torch.stack([x, y, z], dim=1).transpose(1, 2) @ rotation.T
    return SplatEllipsoids(
        means=cloud.means @ rotation.T + transform[:, 3].to(cloud.means),
        half_axes=half_axes,
        quaternions=quaternions,
        opacities=cloud.opacities,
        constant=(cloud.constant - 0.5) / CONSTANT_HARMONIC,
        linear=turned[..., [1, 2, 0]] * turned.new_tensor(LINEAR_SIGNS),
    )


def _principal_axes(axes: Float[Tensor, "N 3 3"]) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
    """Lengths of half axes at right angles that give the same Gaussian, and their rotation, as (x, y, z, w)."""
    # In double precision: a flat splat's least eigenvalue is a thousandth of the largest.
    axes = axes.double()
    squares, directions = torch.linalg.eigh(axes.transpose(1, 2) @ axes)
    directions = directions * torch.linalg.det(directions)[:, None, None]
    return squares.clamp(min=1e-14).sqrt(), matrix_quaternion(directions)
