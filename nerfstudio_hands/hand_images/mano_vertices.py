"""Vertices of hands whose data set gives poses alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32

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
    model: HandModel = _hand(source, side)
    turns = torch.from_numpy(rotations)[None]
    posed = pose_hand(model, turns[:, 0], turns[:, 1:], torch.zeros(1, 3), torch.from_numpy(shape))
    return (posed.vertices[0] - posed.keypoints[0, 0]).numpy() + wrist
