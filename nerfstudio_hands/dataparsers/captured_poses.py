"""Poses of real hands, from captures that come with joints in space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.fitting import FitOptions, fit_or_load
from nerfstudio_hands.hand_model import load_hand
from nerfstudio_hands.hand_model.joint_limits import joint_axes, rotations_to_angles


def captured_angles(folders: Sequence[Path], hand_model: str) -> Float[Tensor, "P 15 3"]:
    """Flexion, spread and twist of all hands of captures, radians; fits are made where the cache has none.

    Args:
        folders: Captures in InterHand2.6M's layout.
        hand_model: "default" or a path.

    Raises:
        HandsError: A folder is no such capture, or no hand of it can be fitted.
    """
    rows = []
    for folder in folders:
        fit = fit_or_load(read_interhand(folder), FitOptions(hand=hand_model, start=NetworkStart()))
        for index, side in enumerate(fit.sides):
            local = fit.pose.local_rotations[fit.pose.valid[:, index], index]
            rows.append(rotations_to_angles(joint_axes(load_hand(hand_model, side)), local))
    return torch.cat(rows)
