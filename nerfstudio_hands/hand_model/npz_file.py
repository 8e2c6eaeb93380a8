"""Our own file for a hand model: a plain ``.npz`` without pickled objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz
from nerfstudio_hands.hand_model.joints import MANO_PARENTS, SIDES
from nerfstudio_hands.hand_model.model import NUM_JOINTS, NUM_POSE_FEATURES, HandModel
from nerfstudio_hands.hand_model.nimble import NimbleHand

FORMAT = "nerfstudio-hands hand model 1"
"""Written into every file; the number changes when older readers would misread it."""

LENGTHS = (0.02, 2.0)
"""Metres along the longest side of a hand's box: no hand is smaller or larger, in whatever unit it was meant."""

MAGNITUDES = {
    "weights": 1.01,
    "shape_dirs": 1.0,
    "pose_dirs": 1.0,
    "joint_regressor": 10.0,
    "keypoint_regressor": 10.0,
    "uv": 100.0,
    "hands_mean": 100.0,
}
"""No number of a hand model is larger: lengths in metres, angles in radians, shares of vertices and of a texture."""

_DIMENSIONS = {
    "template": 2,
    "weights": 2,
    "shape_dirs": 3,
    "pose_dirs": 3,
    "joint_regressor": 2,
    "keypoint_regressor": 2,
    "uv": 3,
    "hands_mean": 2,
    "faces": 2,
}
_FLOAT_KEYS = ("template", "weights", "shape_dirs", "joint_regressor", "keypoint_regressor", "uv", "hands_mean")


def read_npz_hand(path: Path) -> HandModel:
    """Read a hand model written by :func:`write_npz_hand` (float32 tensors on the CPU).

    Raises:
        HandsError: If the file is no such hand model, or its arrays contradict each other.
    """
    try:
        arrays = read_npz(path)
    except UnreadableFile as error:
        raise HandsError(f"{path} should be a hand model in .npz form but cannot be read ({error}).") from error
    found = str(arrays.get("format", "no format entry"))
    if found != FORMAT:
        raise HandsError(f"{path}: expected the format {FORMAT!r}, found {found!r}; write it again with this version.")
    missing = sorted({*_FLOAT_KEYS, "faces", "side", "name"} - arrays.keys())
    if missing:
        raise HandsError(f"{path}: a hand model needs {', '.join(missing)}, which the file lacks; write it again.")
    check_dimensions(path, arrays, {key: _DIMENSIONS[key] for key in _DIMENSIONS if key in arrays})
    tensors = {key: torch.from_numpy(arrays[key].astype(np.float32)) for key in _FLOAT_KEYS}
    num_vertices = tensors["template"].shape[0]
    pose_dirs = torch.zeros(num_vertices, 3, NUM_POSE_FEATURES)
    if "pose_dirs" in arrays:
        pose_dirs = torch.from_numpy(arrays["pose_dirs"].astype(np.float32))
    model = HandModel(
        side=str(arrays["side"]),
        faces=torch.from_numpy(arrays["faces"].astype(np.int64)),
        pose_dirs=pose_dirs,
        parents=MANO_PARENTS,
        name=str(arrays["name"]),
        **tensors,
    )
    check_hand(model, path)
    return model


def check_dimensions(path: Path, arrays: dict[str, np.ndarray], dimensions: dict[str, int]) -> None:
    """Raise a ``HandsError`` naming ``path`` unless arrays hold numbers in so many dimensions."""
    for key, count in dimensions.items():
        found = arrays[key]
        if found.dtype.kind not in "fiub" or found.ndim != count or found.size == 0:
            raise HandsError(
                f"{path}: {key} of a hand model should be numbers in {count} dimension(s), found {found.dtype} of the "
                f"shape {found.shape}; get the file again."
            )


def write_npz_hand(path: Path, model: HandModel) -> None:
    """Write a hand model; the file appears complete or not at all. Zero pose directions are left out."""
    arrays = {key: getattr(model, key).detach().cpu().numpy().astype(np.float32) for key in _FLOAT_KEYS}
    if model.pose_dirs.abs().sum() > 0:
        arrays["pose_dirs"] = model.pose_dirs.detach().cpu().numpy().astype(np.float32)
    arrays["faces"] = model.faces.cpu().numpy().astype(np.int32)
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, format=FORMAT, side=model.side, name=model.name, **arrays)


def check_magnitudes(path: Path, model: HandModel | NimbleHand, largest: Mapping[str, float]) -> None:
    """Raise a ``HandsError`` naming ``path`` unless a hand model is of the size of a hand.

    Args:
        path: Its file.
        model: In metres.
        largest: What the numbers of its arrays are at most.
    """
    template = model.template
    length = float((template.amax(dim=0) - template.amin(dim=0)).max())
    if not LENGTHS[0] <= length <= LENGTHS[1]:
        raise HandsError(
            f"{path}: expected a hand in metres, {LENGTHS[0]:g} to {LENGTHS[1]:g} long, found one of {length:.3g}: "
            "scale its vertices and shape directions, or get the file again."
        )
    for key, limit in largest.items():
        found = float(getattr(model, key).abs().max())
        if found > limit:
            raise HandsError(
                f"{path}: expected numbers up to {limit:g} in {key} of a hand model, found {found:.3g}: get the file "
                "again."
            )


def check_hand(model: HandModel, path: Path) -> None:
    """Raise a ``HandsError`` naming ``path`` unless the arrays of ``model`` fit together."""
    num_vertices, num_faces = model.template.shape[0], model.faces.shape[0]
    expected = {
        "template": (num_vertices, 3),
        "faces": (num_faces, 3),
        "weights": (num_vertices, NUM_JOINTS),
        "shape_dirs": (num_vertices, 3, model.shape_dirs.shape[-1]),
        "pose_dirs": (num_vertices, 3, NUM_POSE_FEATURES),
        "joint_regressor": (NUM_JOINTS, num_vertices),
        "keypoint_regressor": (21, num_vertices),
        "uv": (num_faces, 3, 2),
        "hands_mean": (NUM_JOINTS - 1, 3),
    }
    for key, shape in expected.items():
        value = getattr(model, key)
        if tuple(value.shape) != shape:
            raise HandsError(
                f"{path}: {key} of a hand model with {num_vertices} vertices and {num_faces} faces should have the "
                f"shape {shape}, found {tuple(value.shape)}; the file is no hand in MANO layout."
            )
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise HandsError(f"{path}: {key} should be finite numbers, found NaN or infinity; get the file again.")
    if model.side not in SIDES:
        raise HandsError(f"{path}: the side should be 'left' or 'right', found {model.side!r}; correct the file.")
    if int(model.faces.min()) < 0 or int(model.faces.max()) >= num_vertices:
        raise HandsError(
            f"{path}: faces should name vertices 0 to {num_vertices - 1}, found {int(model.faces.min())} to "
            f"{int(model.faces.max())}; get the file again."
        )
    worst = float((model.weights.sum(dim=1) - 1).abs().max())
    if worst > 1e-2:
        raise HandsError(f"{path}: skin weights of a vertex should sum to 1, found a sum off by {worst:.3g}.")
    check_magnitudes(path, model, MAGNITUDES)
