"""Gaussians as the PLY of "3D Gaussian splatting" (Kerbl et al. 2023), which viewers of splats read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.export.splat_ellipsoids import splat_ellipsoids
from nerfstudio_hands.model_components.export_source import SplatCloud


def splat_ply_bytes(cloud: SplatCloud, transform: Float[Tensor, "3 4"]) -> bytes:
    """A binary PLY with harmonics up to level one.

    Args:
        cloud: Gaussians.
        transform: From their world to that of the file, rigid.
    """
    splats = splat_ellipsoids(cloud, transform)
    opacity = splats.opacities.clamp(1e-6, 1 - 1e-6)
    columns = {
        **_columns(("x", "y", "z"), splats.means),
        **_columns(("nx", "ny", "nz"), torch.zeros_like(splats.means)),
        **_columns([f"f_dc_{k}" for k in range(3)], splats.constant),
        # Channel by channel, as the original writes them.
        **_columns([f"f_rest_{k}" for k in range(9)], splats.linear.flatten(1)),
        "opacity": torch.logit(opacity),
        **_columns([f"scale_{k}" for k in range(3)], splats.half_axes.log()),
        **_columns([f"rot_{k}" for k in range(4)], splats.quaternions[:, [3, 0, 1, 2]]),
    }
    table = np.stack([values.cpu().numpy().astype("<f4") for values in columns.values()], axis=1)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [*(f"property float {name}" for name in columns), "end_header", ""]
    return "\n".join(header).encode() + np.ascontiguousarray(table).tobytes()


def _columns(names: Sequence[str], values: Float[Tensor, "N C"]) -> dict[str, Tensor]:
    return dict(zip(names, values.unbind(1), strict=True))
