"""Soft surfaces that rays pass through, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.layers import CLEAR, layers_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.march import MIN_STEP_PER_SHELL
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.query.structure import SearchStructure

CLEAR_SCALES = float(CLEAR)
"""Scales before a soft surface beyond which nothing is lost."""

MAX_LAYERS = 4
"""Layers of one ray that are told apart: what is behind them counts to the last."""

LEAST_WEIGHT = 4e-3
"""Weight in its pixel up to which a layer is none, one of 255, and light up to which none is left."""


@dataclass
class SurfaceLayers:
    """Layers of a soft surface on each of N rays, from the nearest on, and how opaque each is."""

    depth: Float[Tensor, "N L"]
    """Distance along the unit direction in metres, the mean of what is seen of the layer; 0 where there is none."""
    optical_depth: Float[Tensor, "N L"]
    """Of which it lets through exp(-optical_depth) of the light; 0 where there is none."""


def find_layers(
    structure: SearchStructure,
    origins: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    surface: Int[Tensor, " M"],
    starts: Float[Tensor, " K"],
    seeds: Int[Tensor, " K"],
    below: Float[Tensor, "S V K"],
    counts: Bool[Tensor, " F"],
    scale: Float[Tensor, ""],
    *,
    is_density: bool,
    shell: float,
    max_steps: int,
) -> SurfaceLayers:
    """See :meth:`Surfaces.layers`; `surface`, `starts` and `seeds` may be empty."""
    start, toward, count = contiguous_float32(origins), contiguous_float32(directions), len(origins)
    depth, optical_depth = start.new_empty(count, MAX_LAYERS), start.new_empty(count, MAX_LAYERS)
    launch(
        layers_kernel,
        count,
        [
            structure.arrays,
            structure.neighbors,
            as_array(start, wp.vec3),
            as_array(toward, wp.vec3),
            as_array(surface, wp.int64),
            as_array(contiguous_float32(starts), wp.float32),
            as_array(seeds.contiguous(), wp.int64),
            as_array(contiguous_float32(below), wp.float32),
            as_array(counts.contiguous(), wp.bool),
            as_array(contiguous_float32(scale).view(1), wp.float32),
            is_density,
            shell,
            shell * MIN_STEP_PER_SHELL,
            max_steps,
            LEAST_WEIGHT,
            as_array(depth, wp.float32),
            as_array(optical_depth, wp.float32),
        ],
        chunk=512,
    )
    return SurfaceLayers(depth, optical_depth)
