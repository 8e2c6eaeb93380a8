"""Vertices and faces of hands whose data set gives poses, or vertices, alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.hand_model.model import HandModel, pose_hand

_hand = lru_cache(maxsize=4)(load_hand)


def posed_vertices(
    source: str,
    rotations: Float32[np.ndarray, "16 3"],
    shape: Float32[np.ndarray, " K"],
    wrist: Float32[np.ndarray, "3"],
    *,
    side: str = "right",
) -> Float32[np.ndarray, "V 3"]:
    """Vertices of a hand of a side whose wrist joint is at a place, meters; rotations as of `HandLabels`."""
    model = _hand(source, side)
    turns = torch.from_numpy(rotations)[None]
    posed = pose_hand(model, turns[:, 0], turns[:, 1:], torch.zeros(1, 3), torch.from_numpy(shape))
    return (posed.vertices[0] - posed.keypoints[0, 0]).numpy() + wrist


def mano_hand(mano: Path, side: str) -> HandModel:
    """MANO's hand of a side, read once; errors as of `load_hand`."""
    return _hand(str(mano), side)


def mano_faces(mano: Path | None, root: Path) -> Int[np.ndarray, "F 3"]:
    """Faces of MANO's right hand, open at the wrist.

    Raises:
        HandsError: There is no MANO, as data sets do not bring it.
    """
    if mano is None:
        raise HandsError(
            f"{root}: expected MANO's file for the faces of its hands, found none; put MANO_RIGHT.pkl into "
            f"{root / 'mano'}, or name its folder with --hand-model."
        )
    return mano_hand(mano, "right").faces.numpy()
