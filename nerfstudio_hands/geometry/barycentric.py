"""Barycentric coordinates in triangles, and values of the corners blended by them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def closest_barycentric(points: Float[Tensor, "N 3"], corners: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 3"]:
    """Barycentric coordinates of the nearest point of one triangle a point, differentiable.

    Args:
        points: Query points.
        corners: Their triangles, one corner a row.

    Returns:
        Weights of the three corners, exactly zero for corners that take no part (Ericson, Real-Time Collision
        Detection, 5.1.5). The derivative is that of the region (face, edge or corner) in which the point projects.
    """
    a, b, c = corners.unbind(1)
    ab, ac, ap = b - a, c - a, points - a
    bp, cp = ap - ab, ap - ac
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    d3, d4 = (ab * bp).sum(-1), (ac * bp).sum(-1)
    d5, d6 = (ab * cp).sum(-1), (ac * cp).sum(-1)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    zero, one = torch.zeros_like(d1), torch.ones_like(d1)
    along_bc, along_cb = d4 - d3, d5 - d6
    # In the order of Ericson's tests, the first that holds decides.
    tests = torch.stack(
        [
            (d1 <= 0) & (d2 <= 0),
            (d3 >= 0) & (d4 <= d3),
            (vc <= 0) & (d1 >= 0) & (d3 <= 0),
            (d6 >= 0) & (d5 <= d6),
            (vb <= 0) & (d2 >= 0) & (d6 <= 0),
            (va <= 0) & (along_bc >= 0) & (along_cb >= 0),
            torch.ones_like(d1, dtype=torch.bool),
        ]
    )
    region = tests.to(torch.uint8).argmax(0)

    def ratio(numerator: Tensor, denominator: Tensor, *regions: int) -> Tensor:
        # Elsewhere the denominator may be zero, which would turn the gradient into NaN through the choice below.
        used = sum(region == r for r in regions).bool()  # pyright: ignore[reportAttributeAccessIssue]
        return numerator / torch.where(used, denominator, one)

    on_ab = ratio(d1, d1 - d3, 2)
    on_ac = ratio(d2, d2 - d6, 4)
    on_bc = ratio(along_bc, along_bc + along_cb, 5)
    total = va + vb + vc
    v = torch.stack([zero, one, on_ab, zero, zero, 1 - on_bc, ratio(vb, total, 6)])
    w = torch.stack([zero, zero, zero, one, on_ac, on_bc, ratio(vc, total, 6)])
    v, w = v.gather(0, region[None])[0], w.gather(0, region[None])[0]
    u = torch.where((region == 5) | (region == 1) | (region == 3), zero, 1 - v - w)
    return torch.stack([u, v, w], dim=-1)


def plane_barycentric(
    origins: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    corners: Float[Tensor, "N 3 3"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, " N"]]:
    """Where each ray meets the plane of its triangle, differentiable in all three.

    Args:
        origins: Ray origins.
        directions: Ray directions, not along the plane.
        corners: Triangles, one corner a row.

    Returns:
        Barycentric coordinates, and depths in lengths of the directions (Moeller and Trumbore, "Fast, minimum storage
        ray/triangle intersection", 1997).
    """
    a = corners[:, 0]
    ab, ac, ao = corners[:, 1] - a, corners[:, 2] - a, origins - a
    p, q = torch.linalg.cross(directions, ac), torch.linalg.cross(ao, ab)
    determinant = (ab * p).sum(-1)
    determinant = torch.where(determinant == 0, 1.0, determinant)
    v, w = (ao * p).sum(-1) / determinant, (directions * q).sum(-1) / determinant
    return torch.stack([1 - v - w, v, w], dim=-1), (ac * q).sum(-1) / determinant


def blend_corners(corners: Float[Tensor, "*N 3 C"], barycentric: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N C"]:
    """Values at points of triangles, from those at the corners; in the dtype of these, differentiable in both."""
    return (barycentric[..., None].to(corners) * corners).sum(dim=-2)
