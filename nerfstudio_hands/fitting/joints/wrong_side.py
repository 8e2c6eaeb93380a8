"""Joints under the name of the wrong hand, told by which hand they fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.fitting.joints.joint_track import fit_joint_track
from nerfstudio_hands.hand_model import HandSurface

DOUBTFUL = 1.5
"""Factor on the usual distance of joints from a fitted hand, beyond which they may be those of the other side."""

MUCH_BETTER = 0.6
"""Share of the distance from a hand of their own side, below which they are taken for such. A flat hand looks nearly
like its mirror image; bent ones differ by a factor of two and more."""

AS_GOOD = 2.0
"""Factor on the usual distance within which they must be from a hand of the other side: a fit that ended far from right
joints is no proof."""


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
    usual = (error if learning is None else error[list(learning)]).nanmedian()
    doubtful = error > DOUBTFUL * usual
    if not doubtful.any():
        return doubtful
    sought = torch.where(doubtful[..., None, None], joints.double(), torch.nan)
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    own, other = (
        fit_joint_track(surface, points, shape=shape, landmark_offset=landmark_offset, shape_frames=learning).error
        for points in (sought, sought * mirror)
    )
    return doubtful & (other < MUCH_BETTER * own) & (other < AS_GOOD * usual)


def right_hands(
    valid: Bool[Tensor, "T H"], wrong_side: Bool[Tensor, "T H"], learning: Sequence[int] | None = None
) -> Bool[Tensor, "T H"]:
    """The hands without those of the wrong side; all of them where none would be left to learn from.

    Args:
        valid: Where a hand was found.
        wrong_side: Where its joints are those of the other side.
        learning: Frames that may be learnt from; by default all.
    """
    right = valid & ~wrong_side
    return right if right[slice(None) if learning is None else list(learning)].any() else valid


def sides_left(sides: Sequence[str], right: Bool[Tensor, "T H"]) -> tuple[str, ...]:
    """The sides of which there is a hand: nobody has the others. All where there is none at all.

    Args:
        sides: That were fitted.
        right: Which hands are left, see :func:`right_hands`, in frames that may be learnt from.
    """
    return tuple(compress(sides, right.any(0).tolist())) or tuple(sides)
