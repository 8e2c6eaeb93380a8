"""A trained network of `hand-object-sdf` in a file: weights in half precision and what they belong to, without
pickles."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from nerfstudio_hands.estimators.hand_object.distance_network import DistanceNetworkOptions
from nerfstudio_hands.estimators.hand_object.scene_network import SceneNetwork
from nerfstudio_hands.estimators.monocular.weights_file import REMEDY
from nerfstudio_hands.files.network_file import layers_expected, weights_in, weights_of
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor

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
        )
        network.load_state_dict(weights)
        return ScenePredictor(network, **made_as["cut"]).eval()
