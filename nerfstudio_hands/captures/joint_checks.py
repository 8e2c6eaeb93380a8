"""Whether joints and landmarks that come with a capture can be those of a hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.errors import HandsError

REACH = (0.005, 0.5)
"""Metres from the middle one of a hand's joints, axis by axis, to the farthest: a newborn's fist has 20 millimetres,
nobody's stretched hand a third of a metre."""

FARTHEST = 1000.0
"""Metres from the origin of a capture's world, beyond which single precision tells no fingers apart."""

FAR_OUTSIDE = 10.0
"""Times a picture's longer side, beyond which no landmark is of this picture."""

SMALLEST = 1e-3
"""Of a picture's longer side, within which no hand has all its landmarks."""

MANY = 3
"""Joints of which a hand's size can be told."""


def of_hands(joints: Float[np.ndarray, "*N 21 3"]) -> Bool[np.ndarray, "*N 21"]:
    """Which joints can be those of a hand; NaN cannot.

    Args:
        joints: Metres in a capture's world, or about the hand itself.
    """
    points = torch.from_numpy(joints).double()
    offsets = (points - points.nanmedian(dim=-2, keepdim=True).values).norm(dim=-1)
    near = (offsets <= REACH[1]) & (points.norm(dim=-1) <= FARTHEST)
    reach = torch.where(near, offsets, 0.0).amax(dim=-1)
    is_point = (near.sum(dim=-1) >= MANY) & (reach < REACH[0])
    return (near & ~is_point[..., None]).numpy()


def of_no_hand(joints: Float[np.ndarray, "*N 21 3"]) -> Bool[np.ndarray, "*N 21"]:
    """Which joints are there and cannot be those of a hand, see `of_hands`."""
    return np.isfinite(joints).all(axis=-1) & ~of_hands(joints)


def believable_joints(
    path: Path, joints: Float[np.ndarray, "T 2 21 3"], frames: Sequence[object], problems: list[str]
) -> Float[np.ndarray, "T 2 21 3"]:
    """Joints without those that are no hand's.

    Args:
        path: Their file, to name.
        joints: Metres in the capture's world, NaN where absent.
        frames: Names of the T frames.
        problems: Receives a sentence where some are left out.

    Raises:
        HandsError: None is left.
    """
    odd = of_no_hand(joints)
    good = np.isfinite(joints).all(axis=-1) & ~odd
    if odd.any() and not good.any():
        at = joints[odd]
        middle = np.median(at, axis=0)
        raise HandsError(
            f"{path}: expected joints of hands, {REACH[0] * 1000:g} to {REACH[1] * 1000:g} mm about their middle and "
            f"within {FARTHEST:g} m of the origin, found others (around {', '.join(f'{x:.3g}' for x in middle)} m, in "
            "their file's unit as the layout has it): check the unit."
        )
    if odd.any():
        some = [str(name) for name in compress(frames, np.any(odd, axis=(1, 2)).tolist())]
        problems.append(
            f"{path}: joints that are no hand's (farther apart, nearer together or farther off than any), left out: "
            f"{odd.sum()} in {len(some)} of {len(joints)} frames ({', '.join(some[:6])}{', ..' * (len(some) > 6)})."
        )
    return np.where(good[..., None], joints, np.nan)


def check_landmarks(path: Path, pixels: Float[np.ndarray, "2 21 2"], size: tuple[int, int]) -> None:
    """Raise a HandsError where landmarks are not of a hand in this picture: far outside of it, or all in one point.

    Args:
        path: Their file.
        pixels: NaN where absent.
        size: Width and height of the picture.
    """
    side, remedy = max(size), "detect in this picture again, or remove the file."
    present = pixels[np.isfinite(pixels).all(axis=-1)]
    far = present[np.abs(present).max(axis=-1, initial=0) > FAR_OUTSIDE * side]
    if len(far):
        raise HandsError(
            f"{path}: expected landmarks in or near a picture of {size[0]}x{size[1]} pixels, found one at "
            f"({far[0, 0]:.3g}, {far[0, 1]:.3g}): {remedy}"
        )
    for hand in pixels:
        there = hand[np.isfinite(hand).all(axis=-1)]
        if len(there) >= MANY and np.ptp(there, axis=0).max() < SMALLEST * side:
            raise HandsError(
                f"{path}: expected the landmarks of a hand, found {len(there)} of them within "
                f"{np.ptp(there, axis=0).max():.2g} pixels: {remedy}"
            )
