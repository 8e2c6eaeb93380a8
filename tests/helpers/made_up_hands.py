"""Hands in MANO layout with random contents, for tests that need non-zero pose directions or a MANO file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from helpers import python2_pickle
from nerfstudio_hands.hand_model import MANO_PARENTS, HandModel, default_hand
from nerfstudio_hands.hand_model.mano_writer import write_mano_pickle
from nerfstudio_hands.hand_model.model import mirror_rotations


def small_random_hand(num_vertices: int = 24, dtype: torch.dtype = torch.float64) -> HandModel:
    """A right hand of a few vertices whose every array is random; not a hand in shape."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

    weights, regressor, keypoints = random(num_vertices, 16) ** 4, random(16, num_vertices), random(21, num_vertices)
    return HandModel(
        side="right",
        template=random(num_vertices, 3) - 0.5,
        faces=torch.arange(num_vertices).reshape(-1, 3),
        weights=weights / weights.sum(1, keepdim=True),
        shape_dirs=0.1 * (random(num_vertices, 3, 4) - 0.5),
        pose_dirs=0.05 * (random(num_vertices, 3, 135) - 0.5),
        joint_regressor=regressor / regressor.sum(1, keepdim=True),
        keypoint_regressor=keypoints / keypoints.sum(1, keepdim=True),
        uv=random(num_vertices // 3, 3, 2),
        parents=MANO_PARENTS,
        hands_mean=random(15, 3),
        name="random",
    )


def mano_arrays(side: str = "right", *, unmirrored_shape: bool = False) -> dict[str, np.ndarray]:
    """Arrays named and laid out as in a MANO file: the default hand with random pose directions and mean pose.

    Args:
        side: Which hand.
        unmirrored_shape: Give a left hand the right hand's shape directions, as the official left file does.
    """
    hand = default_hand(side).to(dtype=torch.float64)
    source = default_hand("right").to(dtype=torch.float64) if unmirrored_shape else hand
    generator = np.random.default_rng(5)
    parents = np.array(MANO_PARENTS, dtype=np.int64)
    parents[0] = 4294967295
    return {
        "v_template": hand.template.numpy(),
        "f": hand.faces.numpy().astype(np.uint32),
        "weights": hand.weights.numpy(),
        "shapedirs": source.shape_dirs.numpy(),
        "posedirs": 1e-3 * generator.normal(size=(hand.num_vertices, 3, 135)),
        "J_regressor": hand.joint_regressor.numpy(),
        "J": (hand.joint_regressor @ hand.template).numpy(),
        "kintree_table": np.stack([parents, np.arange(16)]),
        "hands_components": np.eye(45),
        "hands_mean": 0.2 * generator.normal(size=45),
        "hands_coeffs": np.zeros((2, 45)),
    }


def write_mano_file(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Pickle arrays as the official files are: shape directions a chumpy selection, the regressor sparse."""
    content: dict = dict(arrays)
    directions = arrays["shapedirs"]
    num_vertices, _, count = directions.shape
    # Twice as many directions are stored as are selected.
    source = np.concatenate([directions, np.full_like(directions, 7.0)], axis=2)
    indices = np.arange(source.size).reshape(source.shape)[..., :count].ravel()
    content["shapedirs"] = python2_pickle.Select(source, indices, (num_vertices, 3, count))
    content["J_regressor"] = python2_pickle.Sparse(arrays["J_regressor"])
    content["posedirs"] = np.asfortranarray(arrays["posedirs"])
    content["bs_type"] = "lrotmin"
    content["bs_style"] = "lbs"
    path.write_bytes(python2_pickle.dumps(content))


MEAN = torch.linspace(-0.3, 0.4, 45).reshape(15, 3)
"""A mean pose as MANO's files have one."""


def write_mano(folder: Path) -> Path:
    """The built-in hands in MANO's files, with `MEAN`."""
    for side, mean in (("right", MEAN), ("left", mirror_rotations(MEAN))):
        write_mano_pickle(folder / f"MANO_{side.upper()}.pkl", default_hand(side), mean.double().numpy())
    return folder
