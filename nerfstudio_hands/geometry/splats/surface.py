"""Gaussians on the faces of a surface, carried along and looked at by one kernel each: without gradients, and several
times as fast as the formulas in torch, which are many small steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.geometry.kernels.surface_splats import carry_kernel, see_kernel
from nerfstudio_hands.geometry.launch import as_array, launch
from nerfstudio_hands.geometry.query.recompute import contiguous_float32
from nerfstudio_hands.geometry.raster.pinhole import pinhole_transform
from nerfstudio_hands.geometry.splats.projection import ProjectedSplats, Splats


@dataclass
class SplatLayout:
    """N Gaussians on the faces of a surface of V vertices and F faces, as no pose changes them.

    Attributes:
        faces: Of the surface.
        face: The face of each Gaussian.
        place: Logarithms of its barycentric coordinates there, up to a constant.
        half_axes: Along the surface, metres.
        turn: Of the first of these from the face's first axis, radians.
        thickness: Half axis along the normal, metres.
        opacities: In their middles.
        height: Above the vertices, as a part of the shell, before it is held in it.
        color: Beside that of the vertices.
        view: What is added to it over the mirrored view: harmonics of level one, a row each.
        shell: Half width of the shell, metres.
    """

    faces: Int[Tensor, "F 3"]
    face: Int[Tensor, " N"]
    place: Float[Tensor, "N 3"]
    half_axes: Float[Tensor, "N 2"]
    turn: Float[Tensor, " N"]
    thickness: Float[Tensor, " N"]
    opacities: Float[Tensor, " N"]
    height: Float[Tensor, " N"]
    color: Float[Tensor, "N 3"]
    view: Float[Tensor, "N 3 3"]
    shell: float


def carry_splats(
    layout: SplatLayout,
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    brightness: Float[Tensor, "V 3"],
    heights: Float[Tensor, " V"],
    colors: Float[Tensor, "V 3"],
    frames: Float[Tensor, "F 3 3"],
) -> tuple[Splats, Float[Tensor, "N 3"], Float[Tensor, "N 3"], Float[Tensor, "N 3 3"]]:
    """Gaussians where a posed surface takes them.

    Args:
        layout: The Gaussians.
        vertices: Of the posed surface, world metres.
        normals: Of its vertices, unit.
        brightness: Factors on the colors.
        heights: Of the vertices, as `SplatLayout.height`.
        colors: Of the vertices.
        frames: Of its faces, an axis a row.

    Returns:
        The Gaussians, their unit normals, colors that are the same from everywhere, and what is added to these over the
        mirrored view; as `model_components.posed_splats.pose_splats` has them.
    """
    count = len(layout.face)
    mean, normal, diffuse = (vertices.new_empty(count, 3) for _ in range(3))
    axes, view = (vertices.new_empty(count, 3, 3) for _ in range(2))
    vectors = (as_array(contiguous_float32(values), wp.vec3) for values in (vertices, normals, brightness))
    given = [
        *vectors,
        as_array(contiguous_float32(heights), wp.float32),
        as_array(contiguous_float32(colors), wp.vec3),
        as_array(layout.faces.contiguous(), wp.int64),
        as_array(contiguous_float32(frames), wp.mat33),
        as_array(layout.face, wp.int64),
        as_array(contiguous_float32(layout.place), wp.vec3),
        as_array(contiguous_float32(layout.half_axes), wp.vec2),
        as_array(contiguous_float32(layout.turn), wp.float32),
        as_array(contiguous_float32(layout.thickness), wp.float32),
        as_array(contiguous_float32(layout.height), wp.float32),
        as_array(contiguous_float32(layout.color), wp.vec3),
        as_array(contiguous_float32(layout.view), wp.mat33),
        layout.shell,
    ]
    found = [as_array(mean, wp.vec3), as_array(axes, wp.mat33), as_array(normal, wp.vec3)]
    found += [as_array(diffuse, wp.vec3), as_array(view, wp.mat33)]
    launch(carry_kernel, count, [*given, *found])
    return Splats(mean, axes, layout.opacities), normal, diffuse, view


def see_splats(
    splats: Splats,
    normals: Float[Tensor, "N 3"],
    diffuse: Float[Tensor, "N 3"],
    view: Float[Tensor, "N 3 3"],
    exposure: Float[Tensor, "2 3"],
    origins: Float[Tensor, "H W 3"],
    directions: Float[Tensor, "H W 3"],
) -> tuple[ProjectedSplats, Float[Tensor, "N 8"]]:
    """Gaussians as a pinhole camera sees them.

    Args:
        splats: World metres.
        normals: Of what lies below them, unit.
        diffuse: Color that is the same from everywhere.
        view: What is added to it over the mirrored view: harmonics of level one, a row each.
        exposure: Gain and bias of the camera.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, affine in column and row.

    Returns:
        Their ellipses, see `project_splats`; and of each its color as the camera records it, its distance from the
        camera, its normal, and a zero.

    Raises:
        HandsError: The directions are not affine.
    """
    height, width = directions.shape[:2]
    count, new = len(splats.means), splats.means.new_empty
    to_image = pinhole_transform(directions).to(torch.float32)
    seen = ProjectedSplats(new(count, 2), new(count, 3), new(count), new(count))
    features = new(count, 8)
    vectors = (as_array(contiguous_float32(values), wp.vec3) for values in (normals, diffuse))
    given = [
        as_array(contiguous_float32(splats.means), wp.vec3),
        as_array(contiguous_float32(splats.axes), wp.mat33),
        as_array(contiguous_float32(splats.opacities), wp.float32),
        *vectors,
        as_array(contiguous_float32(view), wp.mat33),
        as_array(contiguous_float32(origins[0, 0])[None], wp.vec3),
        as_array(contiguous_float32(to_image)[None], wp.mat33),
        as_array(contiguous_float32(exposure), wp.vec3),
        float(width),
        float(height),
    ]
    found = [as_array(seen.means, wp.vec2), as_array(seen.conics, wp.vec3)]
    found += [as_array(values, wp.float32) for values in (seen.opacities, seen.depths)]
    launch(see_kernel, count, [*given, *found, as_array(features.view(count, 2, 4), wp.vec4)])
    return seen, features
