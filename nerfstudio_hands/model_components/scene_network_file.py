"""A trained network of `hand-object-sdf` in a file: weights in half precision and what they belong to, without
pickles."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import numpy as np
from torch import Tensor

from nerfstudio_hands.estimators.hand_object.distance_network import DistanceNetworkOptions
from nerfstudio_hands.estimators.hand_object.mean_hand import MeanHand
from nerfstudio_hands.estimators.hand_object.scene_network import SceneNetwork
from nerfstudio_hands.estimators.monocular.weights_file import REMEDY
from nerfstudio_hands.files.formatted_npz import read_formatted_npz
from nerfstudio_hands.files.network_file import layers_expected, weights_in, weights_of
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor

SHIPPED = Path(str(files("nerfstudio_hands.data"))) / "networks" / "hand_object.npz"
"""The trained network of the built-in hand; the README beside it says what it is."""

CUT = ("size", "margin", "clip", "reach", "voxel", "affine")
"""What of a predictor is written beside its network."""


def save_scene_predictor(path: Path, predictor: ScenePredictor, about: dict[str, str | int | float]) -> None:
    """Writes a network; the file appears complete or not at all.

    Args:
        path: The file, .npz.
        predictor: Trained, with a pose network.
        about: What the file tells of the training.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    network = predictor.network
    assert network.pose is not None, "bones come from a network"
    made_as = {
        "network": asdict(network.distance.options),
        "pose_backbone": network.pose.encoder.name,
        "cells": network.pose.cells,
        "cut": {name: getattr(predictor, name) for name in CUT},
    }
    arrays = {
        "format": np.array(ScenePredictor.file_format),
        "made_as": np.array(json.dumps(made_as)),
        "about": np.array(json.dumps(about)),
        **weights_of(network, "network/"),
    }
    write_npz(path, arrays, expected="to write the network", remedy="free some space or give another --output")


def load_scene_predictor(path: Path) -> ScenePredictor:
    """Reads a network that `save_scene_predictor` wrote, ready for predictions, on the CPU.

    Raises:
        HandsError: It is no such file, or is broken.
    """
    form = ScenePredictor.file_format
    return scene_predictor_in(read_formatted_npz(path, form, what="a network of hand-object-sdf", remedy=REMEDY), path)


def scene_predictor_in(arrays: dict[str, np.ndarray], path: Path) -> ScenePredictor:
    """The network of a file that `save_scene_predictor` wrote, ready for predictions, on the CPU.

    Args:
        arrays: Of the file.
        path: The file, for messages.

    Raises:
        HandsError: It is broken.
    """
    with layers_expected(path, ScenePredictor.file_format, REMEDY):
        made_as = json.loads(str(arrays["made_as"]))
        weights = weights_in(arrays, "network/")
        network = SceneNetwork(
            DistanceNetworkOptions(**made_as["network"]),
            weights["pose.rest"],
            pose_backbone=made_as["pose_backbone"],
            cells=made_as["cells"],
            mean_hand=_mean_hand_in(weights),
        )
        network.load_state_dict(weights)
        return ScenePredictor(network, **made_as["cut"]).eval()


def _mean_hand_in(weights: dict[str, Tensor]) -> MeanHand | None:
    """The one that the network's heads are told of; None where they are told of none."""
    names = ("template", "weights", "rest", "faces")
    found = [weights.get(f"distance.mean_hand.{name}") for name in names]
    return None if found[0] is None else MeanHand(*found)  # pyright: ignore[reportArgumentType]
