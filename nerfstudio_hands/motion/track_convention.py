"""How tools write the poses of MANO hands; imports nothing heavy, because a command's help is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TrackConvention = Literal["hamer", "wilor", "dexycb", "mano-mean", "mano-flat", "mano-pca", "mano-pca-flat"]


@dataclass(frozen=True)
class Convention:
    """What the numbers of a file mean.

    Attributes:
        coefficients: Fingers are coefficients of MANO's principal components instead of angles.
        on_mean: Fingers are relative to MANO's mean pose (`flat_hand_mean=False` in smplx and manopth) instead of the
            flat hand.
        mirrored_left: Left hands are written as the right hands that they look like in a mirror.
    """

    coefficients: bool = False
    on_mean: bool = False
    mirrored_left: bool = False


CONVENTIONS: dict[str, Convention] = {
    "hamer": Convention(mirrored_left=True),
    "wilor": Convention(mirrored_left=True),
    "dexycb": Convention(coefficients=True, on_mean=True),
    "mano-mean": Convention(on_mean=True),
    "mano-flat": Convention(),
    "mano-pca": Convention(coefficients=True, on_mean=True),
    "mano-pca-flat": Convention(coefficients=True),
}
"""By name: HaMeR and WiLoR give absolute rotations of right hands, DexYCB's `pose_m` coefficients."""
