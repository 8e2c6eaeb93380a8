"""Small pictures of surfaces lit and colored at their vertices: quick and plausible, for pictures by the thousand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import warp as wp
from jaxtyping import Float, Float32, Int32

from nerfstudio_hands.geometry.kernels.vertex_colors import draw_colors_kernel
from nerfstudio_hands.geometry.kernels.vertex_light import depth_map_kernel, vertex_light_kernel
from nerfstudio_hands.geometry.launch import as_array, launch

SHADOW_CELLS = 72
"""Cells of a depth map along each side."""


@dataclass(frozen=True)
class DirectedLight:
    """Light from D directions far away."""

    frames: Float32[np.ndarray, "D 3 3"]
    """Right-handed frame of each depth map, rows; the third is the unit direction to the light."""
    power: Float32[np.ndarray, "D 3"]
    """Irradiance on a surface that faces it."""
    softness: Float32[np.ndarray, "D"]
    """What its size adds to the width of gloss (alpha of the GGX distribution)."""


@dataclass(frozen=True)
class LitSurface:
    """What is lit at V vertices; places in the camera's frame (OpenCV axes), meters."""

    vertices: Float32[np.ndarray, "V 3"]
    normals: Float32[np.ndarray, "V 3"]
    albedo: Float32[np.ndarray, "V 3"]
    """Linear RGB."""
    gloss: Float32[np.ndarray, "V 2"]
    """Roughness, and reflectance at normal incidence."""
    faces: Int32[np.ndarray, "F 3"]
    labels: Int32[np.ndarray, "F"]
    """Number of a face's layer, from 0."""
    casting: Int32[np.ndarray, "M 3"]
    """Faces that throw shadow; may be coarser."""


def lit_vertices(
    surface: LitSurface,
    light: DirectedLight,
    center: Float[np.ndarray, "3"],
    reach: float,
    wrap: tuple[float, float, float],
) -> Float32[np.ndarray, "V 3"]:
    """Radiance of the vertices towards the camera: wrapped diffuse light, GGX gloss (Walter et al., EGSR 2007).

    Args:
        surface: What is lit.
        light: Where light comes from.
        center: Middle of what throws and gets shadow, meters; what is farther away is lit without shadow.
        reach: Meters from there to each side.
        wrap: How far red, green and blue creep around an edge, as a cosine.
    """
    vertices, frames = (as_array(_own(values), kind) for values, kind in _placed(surface, light))
    depth = as_array(torch.empty(len(light.frames), SHADOW_CELLS, SHADOW_CELLS), wp.float32)
    middle = wp.vec3(*map(float, center))
    casting = as_array(_own(surface.casting), wp.vec3i)
    launch(depth_map_kernel, len(light.frames), [vertices, casting, frames, middle, reach, depth])
    radiance = torch.empty(len(surface.vertices), 3)
    arguments = [
        vertices,
        as_array(_own(surface.normals), wp.vec3),
        as_array(_own(surface.albedo), wp.vec3),
        as_array(_own(surface.gloss), wp.vec2),
        frames,
        as_array(_own(light.power), wp.vec3),
        as_array(_own(light.softness), wp.float32),
        depth,
        middle,
        reach,
        wp.vec3(*wrap),
        as_array(radiance, wp.vec3),
    ]
    launch(vertex_light_kernel, len(radiance), arguments, chunk=len(radiance))
    return radiance.numpy()


def draw_colors(
    surface: LitSurface,
    colors: Float32[np.ndarray, "V 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    size: int,
    *,
    samples: int,
    layers: int,
) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w layers"]]:
    """Draw a square picture, colors affine within a face.

    Args:
        surface: Its faces are seen from both sides.
        colors: Of the vertices.
        intrinsics: K in pixels, centers at halves.
        size: Pixels of a side.
        samples: Samples a pixel along each axis.
        layers: Number of labels.

    Returns:
        Colors, zero where nothing is, times the part of the pixel that something covers; part of each pixel that each
        label covers.
    """
    homogeneous = surface.vertices @ intrinsics.T.astype(np.float32)
    pixels = np.empty_like(homogeneous)
    depth = homogeneous[:, 2]
    # Vertices behind the camera have no pixel; their faces are left out by their depth.
    pixels[:, :2] = homogeneous[:, :2] / np.maximum(depth, 1e-3)[:, None] * samples - 0.5
    pixels[:, 2] = depth
    color, coverage = torch.empty(size, size, 3), torch.empty(size, size, layers)
    arguments = [
        samples,
        as_array(_own(pixels), wp.vec3),
        as_array(_own(surface.faces), wp.vec3i),
        as_array(_own(surface.labels), wp.int32),
        as_array(_own(colors), wp.vec3),
        as_array(torch.empty(size * samples, size * samples), wp.float32),
        as_array(torch.empty(size * samples, size * samples, dtype=torch.int32), wp.int32),
        as_array(color, wp.vec3),
        as_array(coverage, wp.float32),
    ]
    launch(draw_colors_kernel, 1, arguments)
    return color.numpy(), coverage.numpy()


def _placed(surface: LitSurface, light: DirectedLight) -> list[tuple[np.ndarray, type]]:
    return [(surface.vertices, wp.vec3), (light.frames, wp.mat33)]


def _own(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
