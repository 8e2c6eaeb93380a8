"""Poses from MANO parameters that came with a capture, where they agree with its 3D joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.captures.capture import ManoAnnotations
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.joints.keypoint_chain import keypoints_only
from nerfstudio_hands.fitting.joints.pose_fit import MIN_JOINTS, landmark_shift
from nerfstudio_hands.hand_model import SIDES, HandModel, HandPose, HandSurface, PosedHand, mirror_hand, pose_hand
from nerfstudio_hands.hand_model.mano_file import relative_to_flat

# A mean distance from the joints beyond the first is always an outlier, one below the second never.
WORST_METERS = 0.015
BEST_METERS = 0.005
# Median absolute deviations above the median, which is 3.4 standard deviations of a normal distribution.
DEVIATIONS = 5.0
# Annotated joints lie at most this far from the joints of the model.
MAX_OFFSET_METERS = 0.015


@dataclass
class AnnotatedPoses:
    """What MANO annotations say about the hands of a surface; T frames, H hands.

    Attributes:
        pose: Poses as the hand model takes them; valid where an annotation is there and to be trusted.
        shape: Mean shape of the trusted annotations, or None where there is none.
        landmark_offset: As in `JointTrackFit`: from the model's joints to the annotated joints.
        deviation: Mean distance of annotated joints from annotated hands, metres; NaN where one of them is absent.
        is_outlier: Whether it is too large.
        is_wrong_side: Those outliers that fit when the parameters, or the joints, are taken to be the other hand's.
    """

    pose: HandPose
    shape: Float[Tensor, " K"] | None
    landmark_offset: Float[Tensor, "21 3"]
    deviation: Float[Tensor, "T H"]
    is_outlier: Bool[Tensor, "T H"]
    is_wrong_side: Bool[Tensor, "T H"]


def annotated_poses(
    surface: HandSurface,
    annotations: ManoAnnotations,
    joints: Float[np.ndarray, "T 2 21 3"],
    *,
    shape_frames: Sequence[int] | None = None,
) -> AnnotatedPoses:
    """Poses of hands from annotations, which let the shape change from frame to frame; here it is one.

    With the mean shape, hands are moved so that their keypoints stay where they were, in the mean.

    Args:
        surface: Hands from MANO files.
        annotations: Parameters, world frame.
        joints: Joints in the same world, metres, NaN where absent, sides left and right.
        shape_frames: Frames whose shapes are averaged, and that say where annotators put joints and how far is too
            far; by default all.

    Raises:
        HandsError: The annotation has more shape coefficients than the model.
    """
    parts = [_Annotated.read(hand, annotations) for hand in surface.hands]
    seen = torch.from_numpy(joints)
    places = [SIDES.index(side) for side in surface.sides]
    misses = torch.stack([part.misses(seen[:, place]) for part, place in zip(parts, places, strict=True)], 1)
    learning = torch.ones(len(seen), dtype=torch.bool)
    if shape_frames is not None:
        learning = torch.isin(torch.arange(len(seen)), torch.as_tensor(list(shape_frames)))
    offset = _median_offset(misses[learning])
    deviation = _mean_distance(misses - offset)
    is_outlier = deviation > outlier_threshold(deviation[learning])
    is_wrong_side = torch.zeros_like(is_outlier)
    for h, part in enumerate(parts):
        elsewhere = part.distance_as_the_other_hand(seen, places[h])
        is_wrong_side[:, h] = is_outlier[:, h] & (elsewhere < WORST_METERS)
    trusted = torch.stack([part.present for part in parts], 1) & ~is_outlier
    learnt = trusted & learning[:, None]
    shape = torch.stack([part.shape for part in parts], 1)[learnt].mean(0) if learnt.any() else None
    pose = HandPose(
        torch.stack([part.global_orient for part in parts], 1),
        torch.stack([part.local_rotations for part in parts], 1),
        torch.stack([part.translation if shape is None else part.translation_for(shape) for part in parts], 1),
        trusted,
    )
    return AnnotatedPoses(pose, shape, offset, deviation, is_outlier, is_wrong_side)


def outlier_threshold(distances: Float[Tensor, "*B"]) -> float:
    """Distance beyond which one of many mean distances (metres, NaN where absent) is an outlier."""
    known = distances[distances.isfinite()]
    if not len(known):
        return WORST_METERS
    median = known.median()
    spread = (known - median).abs().median()
    return float((median + DEVIATIONS * spread).clamp(BEST_METERS, WORST_METERS))


@dataclass
class _Annotated:
    """The annotations of one hand, zero where absent."""

    hand: HandModel
    global_orient: Float[Tensor, "T 3"]
    local_rotations: Float[Tensor, "T 15 3"]
    shape: Float[Tensor, "T K"]
    translation: Float[Tensor, "T 3"]
    present: Bool[Tensor, " T"]

    @staticmethod
    def read(hand: HandModel, annotations: ManoAnnotations) -> _Annotated:
        hand = keypoints_only(hand.to(dtype=torch.float64))
        side = SIDES.index(hand.side)
        pose, shape, trans = (
            torch.from_numpy(values[:, side]).double()
            for values in (annotations.pose, annotations.shape, annotations.trans)
        )
        if shape.shape[-1] > hand.num_shape:
            raise HandsError(
                f"{hand.name}: expected the {shape.shape[-1]} shape coefficients of the annotation, found "
                f"{hand.num_shape}: give the official MANO files."
            )
        present = torch.cat([pose, shape, trans], 1).isfinite().all(1)
        pose, shape, trans = (values.nan_to_num(0.0) for values in (pose, shape, trans))
        local = relative_to_flat(hand, pose[:, 3:].reshape(-1, 15, 3))
        return _Annotated(hand, pose[:, :3], local, shape, trans, present)

    def posed(self, shape: Float[Tensor, "*T K"]) -> PosedHand:
        return pose_hand(self.hand, self.global_orient, self.local_rotations, self.translation, shape)

    def misses(self, joints: Float[Tensor, "T 21 3"]) -> Float[Tensor, "T 21 3"]:
        """From keypoints to joints in the rest axes of a right hand; NaN where absent."""
        posed = self.posed(self.shape)
        bones = landmark_bones(posed.bone_transforms, self.hand.side)
        misses = (bones.mT @ (joints - posed.keypoints)[..., None])[..., 0]
        return torch.where(self.present[:, None, None], misses, torch.nan)

    def distance_as_the_other_hand(self, joints: Float[Tensor, "T 2 21 3"], place: int) -> Float[Tensor, " T"]:
        """Least mean distance, metres, of a hand of these parameters on the other side, or of joints on that side."""
        mirrored = mirror_hand(self.hand)
        # The parameters stay: a left hand's were written under the right hand's name.
        other = pose_hand(mirrored, self.global_orient, self.local_rotations, self.translation, self.shape).keypoints
        own = self.posed(self.shape).keypoints
        candidates = [other - joints[:, place], other - joints[:, 1 - place], own - joints[:, 1 - place]]
        return torch.stack([_mean_distance(miss).nan_to_num(torch.inf) for miss in candidates]).amin(0)

    def translation_for(self, shape: Float[Tensor, " K"]) -> Float[Tensor, "T 3"]:
        """Translations that keep the mean keypoint where it is in another shape."""
        moved = self.posed(self.shape).keypoints - self.posed(shape).keypoints
        return self.translation + moved.mean(1)


def landmark_bones(bone_transforms: Float[Tensor, "*B 16 4 4"], side: str) -> Float[Tensor, "*B 21 3 3"]:
    """Matrices that `landmark_shift` applies to the offset of each landmark."""
    columns = [
        landmark_shift(bone_transforms, axis.expand(21, 3), side) for axis in torch.eye(3, dtype=bone_transforms.dtype)
    ]
    return torch.stack(columns, -1)


def _median_offset(misses: Float[Tensor, "T H 21 3"]) -> Float[Tensor, "21 3"]:
    """Where annotators put each joint; at most `MAX_OFFSET_METERS` away, should most annotations be wrong."""
    offset = misses.flatten(0, 1).nanmedian(0).values.nan_to_num(0.0)
    length = offset.norm(dim=-1, keepdim=True)
    return offset * (MAX_OFFSET_METERS / length.clamp_min(MAX_OFFSET_METERS))


def _mean_distance(misses: Float[Tensor, "*B 21 3"]) -> Float[Tensor, "*B"]:
    """Mean length over joints; NaN where fewer than `MIN_JOINTS` are known."""
    distance = misses.norm(dim=-1)
    enough = distance.isfinite().sum(-1) >= MIN_JOINTS
    return torch.where(enough, distance.nanmean(-1), torch.nan)
