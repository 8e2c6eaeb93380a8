"""Gaussians as glTF, by the extension `KHR_gaussian_splatting` (ratified by the Khronos Group)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.export.splat_ellipsoids import splat_ellipsoids
from nerfstudio_hands.files.glb import GlbBuilder
from nerfstudio_hands.model_components.export_source import SplatCloud

EXTENSION = "KHR_gaussian_splatting"

POINTS = 0
"""Mode of the primitive; programs that do not know the extension show the middles."""


def splat_glb_bytes(cloud: SplatCloud, transform: Float[Tensor, "3 4"]) -> bytes:
    """A binary glTF with harmonics up to level one: the numbers of the PLY, but half axes themselves and not their
    logarithms, opacities as they are, and quaternions (x, y, z, w).

    Args:
        cloud: Gaussians.
        transform: From their world to that of the file, rigid.
    """
    splats = splat_ellipsoids(cloud, transform)
    named = {
        "ROTATION": splats.quaternions,
        "SCALE": splats.half_axes,
        "OPACITY": splats.opacities.clamp(0, 1),
        "SH_DEGREE_0_COEF_0": splats.constant,
        **{f"SH_DEGREE_1_COEF_{k}": splats.linear[..., k] for k in range(3)},
    }
    glb = GlbBuilder()
    attributes = {"POSITION": glb.add_array(_floats(splats.means), bounds=True)}
    attributes |= {f"{EXTENSION}:{name}": glb.add_array(_floats(values)) for name, values in named.items()}
    primitive = {
        "attributes": attributes,
        "mode": POINTS,
        # As pictures are encoded, in which the Gaussians were learned and are laid over each other.
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    glb.document["extensionsUsed"] = [EXTENSION]
    mesh = glb.add("meshes", {"name": "hands", "primitives": [primitive]})
    glb.add_root(glb.add("nodes", {"name": "hands", "mesh": mesh}))
    return glb.to_bytes()


def _floats(values: Tensor) -> Float[np.ndarray, "N ..."]:
    return values.detach().cpu().numpy().astype(np.float32)
