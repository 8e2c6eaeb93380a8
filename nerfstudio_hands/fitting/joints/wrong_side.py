"""Joints under the name of the wrong hand, told by which hand they fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.fitting.joints.joint_track import fit_joint_track
from nerfstudio_hands.fitting.joints.mano_annotations import outlier_threshold
from nerfstudio_hands.hand_model import HandSurface

MUCH_BETTER = 0.6
"""Share of the distance from a hand of their own side, below which joints are taken for those of the other side. A flat
hand looks nearly like its mirror image; bent ones differ by a factor of two and more."""


def hands_of_wrong_side(
    surface: HandSurface,
    joints: Float[Tensor, "T H 21 3"],
    error: Float[Tensor, "T H"],
    shape: Float[Tensor, " K"],
    landmark_offset: Float[Tensor, "21 3"],
    learning: Sequence[int] | None = None,
) -> Bool[Tensor, "T H"]:
    """Which hands have joints that belong to the other side: they fit worse than others do, and their mirror images fit
    much better.

    Args:
        surface: The hands.
        joints: World frame, metres, NaN where absent.
        error: Mean distance of the joints from those of the fitted hand, metres, NaN where there is none.
        shape: Of the person.
        landmark_offset: `Variables.landmark_offset`.
        learning: Frames that may say which errors are usual; by default all.
    """
    doubtful = error > outlier_threshold(error if learning is None else error[list(learning)])
    if not doubtful.any():
        return doubtful
    sought = torch.where(doubtful[..., None, None], joints.double(), torch.nan)
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    own, other = (
        fit_joint_track(
            surface, points, shape=shape, landmark_offset=landmark_offset, shape_frames=learning
        ).error
        for points in (sought, sought * mirror)
    )
    return doubtful & (other < MUCH_BETTER * own)
