"""Silhouettes that carry gradients: pixels beside one are blended by where it passes between their centers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.visibility import Raster


def antialias(
    image: Float[Tensor, "H W C"],
    raster: Raster,
    surfaces: Surfaces,
    origins: Float[Tensor, "H W 3"],
    directions: Float[Tensor, "H W 3"],
    *,
    surface: int = 0,
) -> Float[Tensor, "H W C"]:
    """Blend pixels across the silhouette of the surface, so that colors depend on where the silhouette lies.

    Analytic antialiasing after Laine et al., "Modular primitives for high-performance differentiable rendering", 2020:
    between two neighboring pixels, one on an occluding part of the surface and the other on what lies behind or on
    nothing, the silhouette crosses the line from center to center at t in [0, 1] from the nearer one; the pixel that
    the crossing is in gets the part |t - 1/2| of the other's color. Differences to that paper:

    - The edge is not looked for among those of the visible face, which fails where faces are smaller than pixels, but
      by a walk over the surface from one pixel towards the other, see `Surfaces.cross_silhouette`.
    - An edge counts in pairs along rows, along columns, or in part in both by its direction (in rows wholly if it is
      within 30 degrees of upright), so that every silhouette is counted once and turning it changes nothing abruptly.
    - What all neighbors give to a pixel is scaled down where it comes to more than the pixel, so that each color
      remains a mean of colors, as in a finger tip of one pixel.

    What no pixel center sees, such as a needle between two centers, is not blended.

    Args:
        image: Colors, or a mask, shaded per pixel.
        raster: What the pixels see.
        surfaces: What was rasterized.
        origins: The camera's center in every entry, metres.
        directions: Ray directions of z-depth one, affine in column and row.
        surface: Which of the surfaces.

    Returns:
        The blended image, differentiable in the image, and in vertices, origins and directions where these are.
    """
    height, width = raster.face.shape
    if min(height, width) < 2:
        return image
    crossings = [_crossings(axis, raster, surfaces, origins, directions, surface) for axis in (0, 1)]
    near, far, t, counted = (torch.cat(parts) for parts in zip(*crossings, strict=True))
    target, other = torch.where(t < 0.5, near, far), torch.where(t < 0.5, far, near)
    fraction = (counted * (t - 0.5).abs()).to(image.dtype)
    received = fraction.new_zeros(height * width).index_add(0, target, fraction)
    fraction = fraction / received[target].clamp_min(1)
    colors = image.reshape(height * width, -1)
    change = fraction[:, None] * (colors[other] - colors[target])
    return colors.index_add(0, target, change).view(image.shape)


def _crossings(
    axis: int, raster: Raster, surfaces: Surfaces, origins: Tensor, directions: Tensor, surface: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Crossings of the silhouette between pixels that are neighbors in a column (axis 0) or in a row (1).

    Returns:
        Index of the pixel on the occluding side, and of the other, t from the former, and the part in which the
        crossing counts.
    """
    height, width = raster.face.shape
    origin, toward, vertices = origins[0, 0], directions.reshape(-1, 3), surfaces.vertices[surface]
    with torch.no_grad():
        steps = torch.stack([directions[1, 0] - directions[0, 0], directions[0, 1] - directions[0, 0]])
        count = raster.face.shape[axis] - 1
        (face_p, z_p), (face_q, z_q) = (
            (raster.face.narrow(axis, start, count), raster.z_depth.narrow(axis, start, count)) for start in (0, 1)
        )
        # A step in depth of less than the pixel's width is no occlusion that matters; an infinite one always is.
        stepped = ((z_p - z_q).abs() > torch.minimum(z_p, z_q) * steps[axis].norm()) & (face_p != face_q)
        row, column = torch.nonzero(stepped, as_tuple=True)
        p = row * width + column
        q = p + (width, 1)[axis]
        face, depth = raster.face.view(-1), raster.z_depth.view(-1)
        turned = depth[q] < depth[p]
        near, far = torch.where(turned, q, p), torch.where(turned, p, q)
        edge = surfaces.cross_silhouette(
            origin.expand(len(near), 3), toward[near], toward[far], face[near], face[far] < 0, surface=surface
        )
        found = torch.nonzero(edge[:, 0] >= 0)[:, 0]
        near, far, edge = near[found], far[found], edge[found]
        a, b = (vertices[corner] - origin for corner in edge.unbind(1))
        # The edge and the camera span a plane; its normal tells how the edge runs in the picture.
        squares = (torch.linalg.cross(a, b - a) @ steps.T.to(a)).square()
        cosine = (2 * squares[:, axis] - squares.sum(1)) / squares.sum(1).clamp_min(torch.finfo(squares.dtype).tiny)
        counted = (cosine + 0.5).clamp(0, 1)
        used = torch.nonzero(counted)[:, 0]
        near, far, edge, counted = near[used], far[used], edge[used], counted[used]
    first = toward[near]
    a, b = (vertices.index_select(0, corner) - origin for corner in edge.unbind(1))
    normal = torch.linalg.cross(a, b - a)
    t = -(normal * first).sum(-1) / (normal * (toward[far] - first)).sum(-1)
    return near, far, t.clamp(0, 1), counted
