"""Hands of a film move smoothly: poses of neighbouring frames, which joints fix one by one, put in agreement."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfstudio_hands.fitting.joints.joint_track import ANNOTATION_METERS
from nerfstudio_hands.fitting.joints.keypoint_chain import keypoints_only
from nerfstudio_hands.fitting.joints.pose_fit import PosePrior, landmark_shift
from nerfstudio_hands.fitting.variables import Variables, geman_mcclure, minimize
from nerfstudio_hands.hand_model import HandSurface, pose_hand

ACCELERATION = 5.0
"""Usual acceleration of a hand's joints, metres per second squared; far larger ones are let through."""

FARTHEST_SECONDS = 0.25
"""Frames further apart say nothing of each other."""

ITERATIONS = 60


def smooth_track(
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    precision: Float[Tensor, "T H 21 3 3"],
    variables: Variables,
    times: Float[Tensor, " T"],
    free: Bool[Tensor, " T"],
    *,
    lifted: bool = False,
) -> Variables:
    """Poses that keep to their joints as far as these are known, and do not jump from frame to frame.

    Args:
        surface: The hands.
        joints: World frame, metres, NaN where absent.
        precision: As in `fit_joint_track`.
        variables: The fit to joints.
        times: Seconds, ascending.
        free: Frames whose poses may change. They are compared with each other and with the others.
        lifted: Whether joints are known from one picture each, see `JointTerms.lifted`.

    Returns:
        The variables with other poses of the free frames.
    """
    measured, targets = torch.isfinite(joints).all(-1), joints.nan_to_num(0.0).float()
    prior, root = PosePrior.of(surface, lifted=lifted), precision.float() / ANNOTATION_METERS
    hands = [keypoints_only(hand) for hand in surface.hands]
    triples = [_triples(times, variables.valid[:, hand], free) for hand in range(len(hands))]
    whole = torch.where(free[:, None], variables.valid, False)

    def posed(v: Variables, hand: int) -> Float[Tensor, "T 21 3"]:
        pose = v.pose[:, hand]
        found = pose_hand(hands[hand], pose.global_orient, pose.local_rotations, pose.translation, v.shape)
        return found.keypoints + landmark_shift(found.bone_transforms, v.landmark_offset, surface.sides[hand])

    def objective(v: Variables) -> Tensor:
        kept = Variables(**{**vars(v), "valid": whole})
        loss = prior.loss(kept)
        for hand in range(len(hands)):
            points = posed(v, hand)
            residual = (root[:, hand] @ (points - targets[:, hand])[..., None])[..., 0]
            worth = measured[:, hand] * whole[:, hand, None]
            loss = loss + _robust((residual**2).sum(-1), worth)
            loss = loss + _robust(_jumps(points, times, triples[hand]), 1.0)
        return loss

    smooth = minimize(objective, variables, ("global_orient", "translation", "local_rotations"), iterations=ITERATIONS)
    return variables.put(free.nonzero()[:, 0].tolist(), smooth.at(free.nonzero()[:, 0].tolist()))


def _triples(times: Float[Tensor, " T"], valid: Bool[Tensor, " T"], free: Bool[Tensor, " T"]) -> Int[Tensor, "N 3"]:
    """Frames in which a hand was seen, each between the one before and the one after, where these are near and one of
    the three is free."""
    seen = valid.nonzero()[:, 0]
    triples = torch.stack([seen[:-2], seen[1:-1], seen[2:]], -1) if len(seen) > 2 else seen.new_zeros(0, 3)
    near = (times[triples].diff(dim=-1) < FARTHEST_SECONDS).all(-1)
    return triples[near & free[triples].any(-1)]


def _jumps(
    points: Float[Tensor, "T 21 3"], times: Float[Tensor, " T"], triples: Int[Tensor, "N 3"]
) -> Float[Tensor, "N 21"]:
    """Squared distance of joints from where the frames before and after have them, in units of what acceleration makes
    of it."""
    before, now, after = points[triples].unbind(1)
    first, second = times[triples].float().diff(dim=-1)[..., None, None].unbind(1)
    between = (second * before + first * after) / (first + second)
    usual = ACCELERATION * first * second / 2
    return (((now - between) / usual) ** 2).sum(-1)


def _robust(squared: Tensor, worth: Tensor | float) -> Tensor:
    """Sum of squares in units of their scatter; from three times that on, they count as outliers."""
    return (worth * 9 * geman_mcclure(squared / 9)).sum()
