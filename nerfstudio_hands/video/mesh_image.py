"""The posed hand model as a shaded picture, beside which an avatar can be seen."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.hand_model import HandSurface

COLOR = (0.75, 0.80, 0.88)
AMBIENT = 0.15
"""Share of the light that comes from everywhere; the rest comes from the camera."""

SUBPIXELS = 2
"""Rays along each side of a pixel."""


@torch.no_grad()
def mesh_image(
    surface: HandSurface, vertices: Float[Tensor, "V 3"], camera: Cameras
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a posed surface over black.

    Args:
        surface: The hands.
        vertices: Their posed vertices, nerfstudio's world, metres.
        camera: One pinhole camera in the same world.
    """
    width, height = int(camera.width[0]) * SUBPIXELS, int(camera.height[0]) * SUBPIXELS
    intrinsics = camera.get_intrinsics_matrices()[0].to(vertices)
    intrinsics = torch.cat([intrinsics[:2] * SUBPIXELS, intrinsics[2:]])
    camera_to_world = torch.eye(4).to(vertices)
    # nerfstudio's OpenGL axes to OpenCV's.
    camera_to_world[:3] = camera.camera_to_worlds[0].to(vertices) * vertices.new_tensor([1.0, -1.0, -1.0, 1.0])
    surfaces = Surfaces(surface.faces, vertices[None])
    raster = rasterize(surfaces, intrinsics, torch.linalg.inv(camera_to_world), width, height)

    hit = raster.face >= 0
    corners = surface.faces[raster.face[hit]]
    normals, points = (
        blend_corners(values[corners], raster.barycentric[hit])
        for values in (vertex_normals(vertices, surface.faces), vertices)
    )
    toward = torch.nn.functional.normalize(camera_to_world[:3, 3] - points, dim=-1)
    facing = (torch.nn.functional.normalize(normals, dim=-1) * toward).sum(dim=-1).abs()
    image = vertices.new_zeros(height, width, 3)
    image[hit] = (AMBIENT + (1 - AMBIENT) * facing)[:, None] * vertices.new_tensor(COLOR)
    image = torch.nn.functional.avg_pool2d(image.permute(2, 0, 1), SUBPIXELS).permute(1, 2, 0)
    return (image.cpu().numpy() * 255).astype(np.uint8)
