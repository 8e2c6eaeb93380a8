"""Samples of rays inside the shell around a surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.march import march_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.query.structure import SearchStructure

MIN_STEP_PER_SHELL = 0.25
"""Smallest march step in shells: what a ray cuts off shorter than this, in or out of the shell, may go unnoticed.

A chord of 1.25 mm reaches 0.02 mm into the 5 mm shell around a finger.
"""


@dataclass
class ShellSamples:
    """Samples of the M rays, out of N, that meet the shell around their surface."""

    ray: Int[Tensor, " M"]
    """Index of each such ray, int64, increasing."""
    depth: Float[Tensor, "M num_samples"]
    """Distance along the unit direction in metres, not decreasing along a ray."""
    width: Float[Tensor, "M num_samples"]
    """Length of the part of the ray inside the shell that each sample stands for, metres."""


def march_shell(
    structure: SearchStructure,
    origins: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    surface: Int[Tensor, " M"],
    *,
    shell: float,
    num_samples: int,
    max_steps: int,
    jitter: Float[Tensor, "N num_samples"] | None,
) -> ShellSamples:
    """See :meth:`Surfaces.march`; `surface` may be empty."""
    start, toward, count = contiguous_float32(origins), contiguous_float32(directions), len(origins)
    offsets = start.new_empty(0, 0) if jitter is None else contiguous_float32(jitter)
    length, depth = start.new_empty(count), start.new_empty(count, num_samples)
    launch(
        march_kernel,
        count,
        [
            structure.arrays,
            as_array(start, wp.vec3),
            as_array(toward, wp.vec3),
            as_array(surface, wp.int64),
            as_array(offsets, wp.float32),
            shell,
            shell * MIN_STEP_PER_SHELL,
            max_steps,
            num_samples,
            as_array(length, wp.float32),
            as_array(depth, wp.float32),
        ],
        chunk=128,
    )
    ray = torch.nonzero(length > 0)[:, 0]
    width = (length[ray, None] / num_samples).expand(-1, num_samples)
    return ShellSamples(ray, depth[ray], width)
