"""Gaussians as the PLY of "3D Gaussian splatting" (Kerbl et al. 2023), which viewers of splats read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.model_components.export_source import SplatCloud
from nerfstudio_hands.transforms.rotations import matrix_quaternion

CONSTANT_HARMONIC = 0.28209479177387814
"""Factor of `f_dc`, to whose product one half is added."""

LINEAR_SIGNS = (-1.0, 1.0, -1.0)
"""The files' harmonics of level one are (-y, z, -x) times a number, ours (y, z, x) times the same."""


def splat_ply_bytes(cloud: SplatCloud, transform: Float[Tensor, "3 4"]) -> bytes:
    """A binary PLY with harmonics up to level one.

    Args:
        cloud: Gaussians.
        transform: From their world to that of the file, rigid.
    """
    rotation = transform[:, :3].to(cloud.means)
    means = cloud.means @ rotation.T + transform[:, 3].to(cloud.means)
    half_axes, quaternions = _ellipsoids(cloud.axes @ rotation.T)
    y, z, x = cloud.linear.unbind(1)
    turned = torch.stack([x, y, z], dim=1).transpose(1, 2) @ rotation.T
    linear = turned[..., [1, 2, 0]] * turned.new_tensor(LINEAR_SIGNS)
    opacity = cloud.opacities.clamp(1e-6, 1 - 1e-6)
    columns = {
        **_columns(("x", "y", "z"), means),
        **_columns(("nx", "ny", "nz"), torch.zeros_like(means)),
        **_columns([f"f_dc_{k}" for k in range(3)], (cloud.constant - 0.5) / CONSTANT_HARMONIC),
        # Channel by channel, as the original writes them.
        **_columns([f"f_rest_{k}" for k in range(9)], linear.flatten(1)),
        "opacity": torch.logit(opacity),
        **_columns([f"scale_{k}" for k in range(3)], half_axes.log()),
        **_columns([f"rot_{k}" for k in range(4)], quaternions),
    }
    table = np.stack([values.cpu().numpy().astype("<f4") for values in columns.values()], axis=1)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [*(f"property float {name}" for name in columns), "end_header", ""]
    return "\n".join(header).encode() + np.ascontiguousarray(table).tobytes()


def _columns(names: Sequence[str], values: Float[Tensor, "N C"]) -> dict[str, Tensor]:
    return dict(zip(names, values.unbind(1), strict=True))


def _ellipsoids(axes: Float[Tensor, "N 3 3"]) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
    """Lengths of half axes at right angles that give the same Gaussian, and their rotation, as (w, x, y, z)."""
    # In double precision: a flat splat's least eigenvalue is a thousandth of the largest.
    axes = axes.double()
    squares, directions = torch.linalg.eigh(axes.transpose(1, 2) @ axes)
    directions = directions * torch.linalg.det(directions)[:, None, None]
    return squares.clamp(min=1e-14).sqrt(), matrix_quaternion(directions)[:, [3, 0, 1, 2]]
