"""Our hands in MANO's own files, beside pictures of them in the layouts of data sets."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from nerfstudio_hands.hand_model.joint_limits import bend_fingers
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.mano_writer import write_mano_pickle
from nerfstudio_hands.hand_model.model import mirror_rotations


@cache
def made_up_mean(side: str) -> Float[np.ndarray, "15 3"]:
    """Mean pose of our hand in MANO's files: MANO's own are curled, too."""
    mean = bend_fingers(default_hand("right"), torch.tensor([0.1, 0.22, 0.26, 0.28, 0.26]), torch.zeros(5))
    return (mean if side == "right" else mirror_rotations(mean)).double().numpy()


def write_made_up_mano(root: Path, *sides: str) -> None:
    """Our hands of these sides as `mano/MANO_{RIGHT,LEFT}.pkl`."""
    (root / "mano").mkdir()
    for side in sides:
        write_mano_pickle(root / "mano" / f"MANO_{side.upper()}.pkl", default_hand(side), made_up_mean(side))
