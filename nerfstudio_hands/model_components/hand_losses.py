"""Losses of networks that say a hand from a picture: S2HAND's (Chen et al., CVPR 2021) and those that came after.

Places in the picture are in crop units (-1 to 1), places in space in meters. What labels do not know is NaN there and
counts for nothing: a loss of nothing known is zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.estimators.soft_argmax import cell_places
from nerfstudio_hands.hand_model.joints import BONES

LOG_SCALES = (-6.0, 2.0)
"""Smallest and largest logarithm of the scale of a joint's error."""

BUMP = 1.5
"""Standard deviation of a true heat map, cells."""

TYPICAL_ERROR = 0.1
"""Crop units above which a joint in the picture counts as an outlier: its loss grows no faster than its distance."""


def heat_map_loss(
    log_maps: Float[Tensor, "B 21 h w"], truth: Float[Tensor, "B 21 2"], confidence: Float[Tensor, "B 21"]
) -> Float[Tensor, ""]:
    """Cross entropy of heat maps and bumps as wide as `BUMP` at the true joints; those outside of the crop count for
    nothing.

    Args:
        log_maps: Logarithms of maps that add up to one.
        truth: Joints.
        confidence: Of these.
    """
    height, width = log_maps.shape[2:]
    across, down = (cell_places(count, log_maps.device) for count in (width, height))
    places = truth.nan_to_num()[..., None]
    squares = [((axis - places[:, :, index]) * len(axis) / 2) ** 2 for index, axis in enumerate((across, down))]
    bump = torch.softmax(-(squares[1][..., :, None] + squares[0][..., None, :]).flatten(2) / (2 * BUMP**2), -1)
    return weighted_mean(-(bump * log_maps.flatten(2)).sum(-1), confidence * inside(truth))


def point_loss(
    points: Float[Tensor, "B 21 2"], truth: Float[Tensor, "B 21 2"], confidence: Float[Tensor, "B 21"]
) -> Float[Tensor, ""]:
    """Mean distance along each axis of joints inside of the crop."""
    return weighted_mean((points - truth.nan_to_num()).abs().mean(-1), confidence * inside(truth))


def scale_loss(
    points: Float[Tensor, "B 21 2"],
    log_scale: Float[Tensor, "B 21"],
    truth: Float[Tensor, "B 21 2"],
    confidence: Float[Tensor, "B 21"],
) -> Float[Tensor, ""]:
    """Negative logarithm of a Laplace density, which is smallest where the scale is that of the joints' error.

    The joints themselves do not learn from it: where a network is unsure, they would the less the more there is to
    learn.
    """
    distance = (points.detach() - truth.nan_to_num()).abs().sum(-1)
    log_scale = log_scale.clamp(*LOG_SCALES)
    return weighted_mean(distance * torch.exp(-log_scale) + 2 * log_scale, confidence * inside(truth))


def inside(truth: Float[Tensor, "B 21 2"]) -> Bool[Tensor, "B 21"]:
    """Which joints are known and inside of the crop."""
    return truth.isfinite().all(-1) & (truth.abs() < 1).all(-1)


def pixel_loss(
    points: Float[Tensor, "B 21 2"], truth: Float[Tensor, "B 21 2"], confidence: Float[Tensor, "B 21"]
) -> Float[Tensor, ""]:
    """S2HAND's robust distance, a parabola up to `TYPICAL_ERROR` and a line beyond, in units of the latter."""
    known = truth.isfinite().all(-1)
    distance = _length(points - truth.nan_to_num()) / TYPICAL_ERROR
    robust = torch.where(distance < 1, distance**2 / 2, distance - 0.5)
    return weighted_mean(robust, confidence * known)


def bone_direction_loss(
    points: Float[Tensor, "B 21 2"], truth: Float[Tensor, "B 21 2"], confidence: Float[Tensor, "B 21"]
) -> Float[Tensor, ""]:
    """Squared difference of the unit directions of the 20 bones in the picture, weighed by the confidence of both
    ends."""
    known = truth.isfinite().all(-1) * confidence
    start, end = torch.tensor(BONES, device=points.device).unbind(-1)
    found, wanted = (_unit(places[:, end] - places[:, start]) for places in (points, truth.nan_to_num()))
    return weighted_mean((found - wanted).square().sum(-1), known[:, start] * known[:, end])


def joint_loss(joints: Float[Tensor, "B P 3"], truth: Float[Tensor, "B P 3"]) -> Float[Tensor, ""]:
    """Mean distance along each axis, meters, of joints or vertices in the camera's frame."""
    return weighted_mean((joints - truth.nan_to_num()).abs().mean(-1), truth.isfinite().all(-1))


def norm_joint_loss(
    joints: Float[Tensor, "B P 3"],
    truth: Float[Tensor, "B P 3"],
    root: Float[Tensor, "B 3"],
    true_root: Float[Tensor, "B 3"],
) -> Float[Tensor, ""]:
    """`joint_loss` of places relative to the middle finger's first joint."""
    return joint_loss(joints - root[:, None], truth - true_root[:, None])


def log_size_loss(log_size: Float[Tensor, " B"], truth: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """Mean difference of the logarithms of apparent sizes: the relative error of a depth whose hand's size is known."""
    return weighted_mean((log_size - truth.nan_to_num()).abs(), truth.isfinite())


def pose_loss(fractions: Float[Tensor, "B P"], truth: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Mean difference of where numbers of poses lie between their limits."""
    return weighted_mean((fractions - truth.nan_to_num()).abs().mean(1), truth.isfinite().all(-1))


def limit_loss(fractions: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """How far numbers of poses are beyond their limits, squared, in parts of their range."""
    return (torch.relu(-fractions) + torch.relu(fractions - 1)).square().mean()


def laplacian_loss(vertices: Float[Tensor, "B V 3"], edges: Int[Tensor, "E 2"]) -> Float[Tensor, ""]:
    """Mean distance between a vertex and the mean of its neighbors, meters: S2HAND's smoothness, whatever the lengths
    of edges.

    Args:
        vertices: Meters; each has a neighbor.
        edges: Each once.
    """
    start, end = edges.unbind(-1)
    neighbors = torch.zeros_like(vertices).index_add(1, start, vertices[:, end]).index_add(1, end, vertices[:, start])
    degree = torch.bincount(edges.flatten(), minlength=vertices.shape[1])
    return _length(vertices - neighbors / degree[:, None]).mean()


def collision_loss(
    joints: Float[Tensor, "B 21 3"], radii: Float[Tensor, " 20"], apart: Int[Tensor, "P 2"]
) -> Float[Tensor, ""]:
    """How deep bones, as capsules, are in each other: squared depth in parts of the thinner one's radius.

    Args:
        joints: Meters.
        radii: Of the bones' capsules, meters.
        apart: Pairs of bones that touch each other only where fingers collide.
    """
    start, end = torch.tensor(BONES, device=joints.device).unbind(-1)
    ends = joints[:, start], joints[:, end]
    first, second = apart.unbind(-1)
    gap = segment_distance(*(place[:, first] for place in ends), *(place[:, second] for place in ends))
    reach = radii[first] + radii[second]
    return (torch.relu(reach - gap) / torch.minimum(radii[first], radii[second])).square().mean()


def segment_distance(
    a: Float[Tensor, "*B 3"], b: Float[Tensor, "*B 3"], c: Float[Tensor, "*B 3"], d: Float[Tensor, "*B 3"]
) -> Float[Tensor, "*B"]:
    """Distance between the segments from a to b and from c to d (Ericson, "Real-time collision detection", 2005,
    5.1.9)."""
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
    uw, vw = (u * w).sum(-1), (v * w).sum(-1)
    tiny = torch.finfo(u.dtype).tiny
    s = ((uv * vw - vv * uw) / (uu * vv - uv**2).clamp_min(1e-12)).clamp(0, 1)
    t = ((uv * s + vw) / vv.clamp_min(tiny)).clamp(0, 1)
    s = ((uv * t - uw) / uu.clamp_min(tiny)).clamp(0, 1)
    return _length(w + s[..., None] * u - t[..., None] * v)


def weighted_mean(values: Float[Tensor, "*B"], weights: Float[Tensor, "*B"] | Bool[Tensor, "*B"]) -> Float[Tensor, ""]:
    """Mean by weights, zero where they are all zero; what has no weight may be anything but NaN."""
    weights = weights.to(values)
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)


def mean_millimeters(off: Float[Tensor, "*B D"]) -> Float[Tensor, ""]:
    """Mean length of differences in meters, those that are not known left out, for figures: without gradients."""
    length = off.detach().norm(dim=-1)
    return 1000 * weighted_mean(length.nan_to_num(), length.isfinite())


def _length(vectors: Tensor) -> Tensor:
    # A length has no gradient at zero.
    return (vectors.square().sum(-1) + 1e-12).sqrt()


def _unit(vectors: Tensor) -> Tensor:
    return vectors / _length(vectors)[..., None]
