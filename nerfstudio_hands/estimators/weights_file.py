"""The network in a file: weights in half precision and the mesh hierarchy that they belong to, without pickles."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hierarchy import MeshHierarchy, Upsampling
from nerfstudio_hands.estimators.network import PoseNetwork
from nerfstudio_hands.files.formatted_npz import read_formatted_npz
from nerfstudio_hands.files.network_file import layers_expected, weights_in, weights_of
from nerfstudio_hands.files.npz_writing import write_npz

FORMAT = "nerfstudio-hands pose network 1"
"""Written into every file; the number changes when the layers do."""

SHIPPED = Path(__file__).parent / "assets" / "default_hand.npz"
"""The network for the built-in hand."""


class JointPredictor(nn.Module):
    """A trained network and its hand model.

    Attributes:
        file_format: What its file calls itself.

    Args:
        network: Trained.
        faces: Of the hand model that it was trained for; they tell this model from others.
    """

    file_format = FORMAT
    faces: Tensor

    def __init__(self, network: PoseNetwork, faces: Int[Tensor, "F 3"]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("faces", faces, persistent=False)


def save_network(path: Path, predictor: JointPredictor, about: dict[str, str | int | float]) -> None:
    """Writes a network; the file appears complete or not at all.

    Args:
        path: The file, .npz.
        predictor: The network and its hand model.
        about: What the file tells of the training.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    network = predictor.network
    hierarchy = network.hierarchy
    arrays = {
        "format": np.array(FORMAT),
        "faces": np.array(_digest(predictor.faces)),
        "about": np.array(json.dumps(about)),
        "reference": network.reference.cpu().numpy(),
        "num_shape": np.array(network.num_shape),
        "sizes": np.array(hierarchy.sizes),
        **weights_of(network),
    }
    for level, edges in enumerate(hierarchy.edges):
        arrays[f"edges_{level}"] = edges.numpy().astype(np.int32)
    for level, up in enumerate(hierarchy.upsamplings):
        arrays[f"corners_{level}"] = up.corners.numpy().astype(np.int32)
        arrays[f"weights_{level}"] = up.weights.numpy().astype(np.float32)
    write_npz(path, arrays, expected="to write the pose network", remedy="free some space or give another file")


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
    remedy = "train one with `ns-train hand-from-joints`"
    arrays = read_formatted_npz(path, FORMAT, what="a pose network", remedy=remedy)
    if faces is not None and str(arrays.get("faces")) != _digest(faces):
        raise HandsError(
            f"{path}: expected a pose network for a hand model with {len(faces)} triangles as yours has them, found "
            f"one for another model: {remedy} --pipeline.datamanager.hand-model YOURS."
        )
    with layers_expected(path, FORMAT, remedy):
        hierarchy = _hierarchy(arrays)
        reference = torch.from_numpy(arrays["reference"])
        network = PoseNetwork(hierarchy, reference, torch.zeros(hierarchy.sizes[-1], 3), int(arrays["num_shape"]))
        network.load_state_dict(weights_in(arrays))
    return network.eval()


def _hierarchy(arrays: dict[str, np.ndarray]) -> MeshHierarchy:
    sizes = arrays["sizes"].tolist()

    def indices(name: str) -> Int[Tensor, "*_"]:
        return torch.from_numpy(arrays[name].astype(np.int64))

    upsamplings = [
        Upsampling(indices(f"corners_{level}"), torch.from_numpy(arrays[f"weights_{level}"]))
        for level in range(len(sizes) - 1)
    ]
    return MeshHierarchy(sizes, [indices(f"edges_{level}") for level in range(len(sizes))], upsamplings)


@cache
def shipped_network() -> PoseNetwork:
    """The network that comes with the package; it gives poses for any hand model, and vertices of the built-in one."""
    return load_network(SHIPPED)


def _digest(faces: Int[Tensor, "F 3"]) -> str:
    """Left and right hands of a model have the same triangles but for their direction, and the same digest."""
    return hashlib.sha256(faces.cpu().sort(dim=1).values.numpy().astype("<i4").tobytes()).hexdigest()[:16]
