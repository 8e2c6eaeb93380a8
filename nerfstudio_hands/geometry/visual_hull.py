"""The visual hull: what silhouettes from several sides leave of a box."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.transforms.projection import project

MIN_SEEING_FRACTION = 0.25
"""Fraction of the cameras that must see the object at a point; the others may see what hides it."""

MIN_LOOKING_FRACTION = 0.5
"""Fraction of the cameras whose images must hold a point: out of sight of the others, a cone of one would be left."""


def box_grid(box: Float[Tensor, "2 3"], resolution: int) -> Float[Tensor, "N 3"]:
    """Centres of the cells of a box cut into `resolution` parts along each axis."""
    fraction = (torch.arange(resolution, device=box.device) + 0.5) / resolution
    grid = torch.stack(torch.meshgrid(fraction, fraction, fraction, indexing="ij"), dim=-1).reshape(-1, 3)
    return box[0] + grid.to(box) * (box[1] - box[0])


def carve(
    points: Float[Tensor, "N 3"],
    seen: list[Bool[Tensor, "H W"]],
    hidden: list[Bool[Tensor, "H W"]],
    intrinsics: Float[Tensor, "C 3 3"],
    world_to_camera: Float[Tensor, "C 4 4"],
) -> Bool[Tensor, " N"]:
    """Which points may belong to an object (Laurentini, "The visual hull concept", TPAMI 1994).

    A point is carved away where a camera sees past it: where it falls on neither the object nor what may hide it. What
    hides the object says nothing, so at least `MIN_SEEING_FRACTION` of the cameras must see the object there.

    Args:
        points: World, metres.
        seen: Of each camera, where it sees the object.
        hidden: Of each camera, where something else may hide it.
        intrinsics: K, pixels; the center of the upper left pixel is (0.5, 0.5).
        world_to_camera: OpenCV axes.

    Returns:
        True where no camera objects and enough of them look.
    """
    # Points that a camera has carved away are not looked at by the next ones.
    left = torch.arange(len(points), device=points.device)
    looks, sees = torch.zeros(2, len(points), dtype=torch.long, device=points.device)
    for mask, cover, k, pose in zip(seen, hidden, intrinsics, world_to_camera, strict=True):
        height, width = mask.shape
        pixels, depth = project(points[left], k, pose)
        column, row = pixels.floor().long().unbind(1)
        inside = (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        at = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        on_object = mask.reshape(-1)[at] & inside
        looks[left] += inside
        sees[left] += on_object
        left = left[on_object | cover.reshape(-1)[at] | ~inside]
    kept = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    kept[left] = True
    return kept & (sees > 0) & (sees >= MIN_SEEING_FRACTION * len(seen)) & (looks >= MIN_LOOKING_FRACTION * len(seen))
