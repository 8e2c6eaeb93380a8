"""Which hand is seen at each pixel of a rasterized surface."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

NO_SIDE = -1
"""Value of a side image where no hand projects."""


def side_image(
    face: Int[Tensor, "H W"], face_side: Int[Tensor, " F"], face_is_hand: Bool[Tensor, " F"] | None = None
) -> Int[np.ndarray, "H W"]:
    """Turns a picture of face indices into a picture of hand sides.

    Args:
        face: Index of the nearest face at each pixel, -1 where there is none (`geometry.rasterize`). Indices from F on
            are the faces that close the wrist; they count as no hand, because what a camera sees there is the forearm.
        face_side: Side of each face of the surface, an index into `SIDES`.
        face_is_hand: False for faces behind the wrist, which count as no hand either; None where all are.

    Returns:
        The side at each pixel, `NO_SIDE` where no hand projects.
    """
    known = face.clamp(0, len(face_side) - 1)
    is_hand = (face >= 0) & (face < len(face_side))
    if face_is_hand is not None:
        is_hand &= face_is_hand.to(face.device)[known]
    sides = face_side.to(face.device)[known].to(face.dtype)
    return sides.where(is_hand, sides.new_tensor(NO_SIDE)).cpu().numpy()
