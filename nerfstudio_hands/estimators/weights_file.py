"""The network in a file: weights in half precision and the mesh hierarchy that they belong to, without pickles."""

from __future__ import annotations

import hashlib
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hierarchy import MeshHierarchy, Upsampling
from nerfstudio_hands.estimators.network import PoseNetwork
from nerfstudio_hands.files.npz_writing import write_npz

FORMAT = "nerfstudio-hands pose network 1"
"""Written into every file; the number changes when the layers do."""

SHIPPED = Path(__file__).parent / "assets" / "default_hand.npz"
"""The network for the built-in hand."""

_WEIGHT = "weight/"


def save_network(path: Path, network: PoseNetwork, *, faces: Int[Tensor, "F 3"], seed: int) -> None:
    """Writes a network; the file appears complete or not at all.

    Args:
        path: The file.
        network: Trained.
        faces: Of the hand model that it was trained for; they tell this model from others.
        seed: That it was trained with, for the record.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    hierarchy = network.hierarchy
    arrays = {
        "format": np.array(FORMAT),
        "faces": np.array(_digest(faces)),
        "seed": np.array(seed),
        "reference": network.reference.cpu().numpy(),
        "num_shape": np.array(network.num_shape),
        "sizes": np.array(hierarchy.sizes),
    }
    for level, edges in enumerate(hierarchy.edges):
        arrays[f"edges_{level}"] = edges.numpy().astype(np.int32)
    for level, up in enumerate(hierarchy.upsamplings):
        arrays[f"corners_{level}"] = up.corners.numpy().astype(np.int32)
        arrays[f"weights_{level}"] = up.weights.numpy().astype(np.float32)
    for name, value in network.state_dict().items():
        arrays[_WEIGHT + name] = value.cpu().numpy().astype(np.float16)
    write_npz(path, arrays, expected="to write the pose network", remedy="free some space or give another --output")


@cache
def shipped_digest() -> str:
    """Tells the shipped network from that of another version."""
    return hashlib.sha256(SHIPPED.read_bytes()).hexdigest()[:16]


def load_network(path: Path, faces: Int[Tensor, "F 3"] | None = None) -> PoseNetwork:
    """Reads a network that `save_network` wrote, ready for predictions, on the CPU.

    Args:
        path: The file.
        faces: Of the hand model whose vertices are wanted; without, any network will do.

    Raises:
        HandsError: It is no such file, is broken, or belongs to another hand model.
    """
    remedy = "train one with `ns-hands train-pose-network`"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise HandsError(
            f"{path}: expected a pose network, found a file that cannot be read ({error}): {remedy}."
        ) from error
    found = str(arrays.get("format", "no format entry"))
    if found != FORMAT:
        raise HandsError(f"{path}: expected the format {FORMAT!r}, found {found!r}: {remedy}.")
    if faces is not None and str(arrays.get("faces")) != _digest(faces):
        raise HandsError(
            f"{path}: expected a pose network for a hand model with {len(faces)} triangles as yours has them, found "
            f"one for another model: {remedy} --hand-model YOURS."
        )
    try:
        sizes = arrays["sizes"].tolist()
        hierarchy = MeshHierarchy(
            sizes,
            [torch.from_numpy(arrays[f"edges_{level}"].astype(np.int64)) for level in range(len(sizes))],
            [
                Upsampling(
                    torch.from_numpy(arrays[f"corners_{level}"].astype(np.int64)),
                    torch.from_numpy(arrays[f"weights_{level}"]),
                )
                for level in range(len(sizes) - 1)
            ],
        )
        reference = torch.from_numpy(arrays["reference"])
        network = PoseNetwork(hierarchy, reference, torch.zeros(sizes[-1], 3), int(arrays["num_shape"]))
        weights = {
            name[len(_WEIGHT) :]: torch.from_numpy(value.astype(np.float32))
            for name, value in arrays.items()
            if name.startswith(_WEIGHT)
        }
        network.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HandsError(f"{path}: expected the layers of {FORMAT!r}, found others ({reason}): {remedy}.") from error
    return network.eval()


@cache
def shipped_network() -> PoseNetwork:
    """The network that comes with the package; it gives poses for any hand model, and vertices of the built-in one."""
    return load_network(SHIPPED)


def _digest(faces: Int[Tensor, "F 3"]) -> str:
    """Left and right hands of a model have the same triangles but for their direction, and the same digest."""
    return hashlib.sha256(faces.cpu().sort(dim=1).values.numpy().astype("<i4").tobytes()).hexdigest()[:16]
