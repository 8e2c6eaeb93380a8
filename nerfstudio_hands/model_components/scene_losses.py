"""Losses of networks that see a hand and what it holds, after gSDF (Chen et al., CVPR 2023).

What labels do not know is NaN there and counts for nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from nerfstudio_hands.estimators.soft_argmax import cell_places
from nerfstudio_hands.hand_model.joints import BONES
from nerfstudio_hands.model_components.hand_losses import BUMP, weighted_mean

CLAMP = 0.015
"""Meters beyond which a distance is only said to be large: gSDF's 0.05 in units of half its cube is 14 to 16 mm."""

VIEWS = 20
"""Directions beside the camera's from which the order of joints in depth is judged."""

PART = 3
"""One of so many pairs is drawn."""


def distance_loss(
    found: Float[Tensor, "B N 2"], truth: Float[Tensor, "B N 2"], counted: Bool[Tensor, "B N 2"]
) -> Float[Tensor, ""]:
    """Mean difference of clamped distances, hand and object for themselves, in units of the clamp.

    Args:
        found: Meters.
        truth: Meters.
        counted: Which of them count.
    """
    known = (truth.isfinite() & counted).float()
    difference = (found.clamp(-CLAMP, CLAMP) - truth.nan_to_num().clamp(-CLAMP, CLAMP)).abs() / CLAMP
    # Hands and objects have equal weight, however many points either has.
    return ((difference * known).sum((0, 1)) / known.sum((0, 1)).clamp_min(1)).sum()


def own_points(of_object: Bool[Tensor, "B N"]) -> Bool[Tensor, "B N 2"]:
    """For hand and object, the points that were drawn round it."""
    return torch.stack([~of_object, of_object], -1)


def place_loss(found: Float[Tensor, "B J 3"], truth: Float[Tensor, "B J 3"]) -> Float[Tensor, ""]:
    """Mean square along each axis, square decimeters."""
    known = truth.isfinite().all(-1)
    return weighted_mean(((found - truth.nan_to_num()) / 0.1).square().mean(-1), known)


def depth_map_loss(
    log_depths: Float[Tensor, "B J D"], truth: Float[Tensor, "B J"], known: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """Cross entropy of depths and bumps at the true ones, -1 to 1; those beyond the volume count for nothing."""
    cells = log_depths.shape[-1]
    places = cell_places(cells, log_depths.device)
    truth = truth.nan_to_num()
    bump = torch.softmax(-(((places - truth[..., None]) * cells / 2) ** 2) / (2 * BUMP**2), -1)
    return weighted_mean(-(bump * log_depths).sum(-1), known & (truth.abs() < 1))


def ordinal_loss(joints: Float[Tensor, "B 21 3"], truth: Float[Tensor, "B 21 3"]) -> Float[Tensor, ""]:
    """Whether joints, and bones, lie in the same order as the true ones from the camera and from random directions.

    gSDF's, after Yang et al., "HandLift", and with its numbers: a third of the pairs, and twenty directions of a
    hemisphere beside the optical axis; for joints the logarithm of how far they are out of order, decimeters.

    Args:
        joints: Axes of the views, meters.
        truth: The same.
    """
    known = truth.isfinite().all(-1).all(-1)
    joints, truth = joints / 0.1, truth.nan_to_num() / 0.1
    up, turn = torch.rand(2, VIEWS, device=joints.device)
    across = (1 - up**2).sqrt()
    axis = joints.new_tensor([[0.0, 0.0, 1.0]])
    views = torch.cat([torch.stack([across * (6.2832 * turn).cos(), across * (6.2832 * turn).sin(), up], -1), axis])
    first, second = _some_pairs(21, joints.device)
    apart, truly = joints[:, first] - joints[:, second], truth[:, first] - truth[:, second]
    of_joints = torch.log1p(functional.relu(-(truly @ views.T).sign() * (apart @ views.T)))
    start, end = torch.tensor(BONES, device=joints.device).unbind(-1)
    bones, true_bones = (points[:, end] - points[:, start] for points in (joints, truth))
    first, second = _some_pairs(20, joints.device)
    normals, true_normals = (torch.linalg.cross(b[:, first], b[:, second]) for b in (bones, true_bones))
    of_bones = functional.relu(-(true_normals @ views.T).sign() * (normals @ views.T))
    return weighted_mean(of_joints.mean((1, 2)) + of_bones.mean((1, 2)), known)


def _some_pairs(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    pairs = torch.combinations(torch.arange(count, device=device))
    chosen = pairs[torch.randperm(len(pairs), device=device)[: len(pairs) // PART]]
    return chosen[:, 0], chosen[:, 1]
