"""A trained network of `hand-monocular` in a file: weights in half precision and what they belong to, without
pickles."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.backbone import DEFAULT
from nerfstudio_hands.estimators.monocular.decoder import decoder_of
from nerfstudio_hands.estimators.monocular.network import NUM_TEXTURE, MonocularNetwork
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.monocular.skin_basis import SkinBasis
from nerfstudio_hands.files.formatted_npz import read_formatted_npz
from nerfstudio_hands.files.network_file import layers_expected, weights_in, weights_of
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.hand_model.load import load_right_hand

REMEDY = "give a file of `ns-hands predict --save-network`"

SHIPPED = Path(str(files("nerfstudio_hands.data"))) / "networks" / "hand_monocular.npz"
"""The trained network of the built-in hand; the README beside it says what it is."""

PARTS = ("network", "skin")
"""Of a predictor, with weights."""


def save_predictor(path: Path, predictor: HandPredictor, about: dict[str, str | int | float]) -> None:
    """Writes a network; the file appears complete or not at all.

    Args:
        path: The file, .npz.
        predictor: Trained.
        about: What the file tells of the training.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    hand = predictor.decoder.hand
    arrays = {
        "format": np.array(HandPredictor.file_format),
        "backbone": np.array(predictor.network.encoder.name),
        "size": np.array(predictor.size),
        "hand": np.array(hand.name),
        "vertices": np.array(hand.num_vertices),
        "num_shape": np.array(hand.num_shape),
        "about": np.array(json.dumps(about)),
    }
    for part in PARTS:
        arrays |= weights_of(getattr(predictor, part), f"{part}/")
    write_npz(path, arrays, expected="to write the network", remedy="free some space or give another --output")


def load_predictor(path: Path, hand_model: str = "default") -> HandPredictor:
    """Reads a network that `save_predictor` wrote, ready for predictions, on the CPU.

    Args:
        path: The file.
        hand_model: "default" or a folder with MANO's or NIMBLE's files, for which it was trained.

    Raises:
        HandsError: It is no such file, is broken, or belongs to another hand model.
    """
    arrays = read_formatted_npz(path, HandPredictor.file_format, what="a network", remedy=REMEDY)
    return predictor_in(arrays, path, hand_model)


def predictor_in(arrays: dict[str, np.ndarray], path: Path, hand_model: str = "default") -> HandPredictor:
    """The network of a file that `save_predictor` wrote, ready for predictions, on the CPU.

    Args:
        arrays: Of the file.
        path: The file, for messages.
        hand_model: "default" or a folder with MANO's or NIMBLE's files, for which it was trained.

    Raises:
        HandsError: It is broken, or belongs to another hand model.
    """
    hand = load_right_hand(hand_model)
    # Older files say no name, and are of the built-in hand or MANO's.
    name, count = str(arrays.get("hand", hand.name)), int(arrays["vertices"])
    if (name, count) != (hand.name, hand.num_vertices):
        raise HandsError(
            f"{path}: expected a network for the hand {hand.name!r} of {hand.num_vertices} vertices, found one for "
            f"{name!r} of {count}: give the --hand-model that it was trained with."
        )
    decoder = decoder_of(hand)
    network = MonocularNetwork(
        backbone=str(arrays.get("backbone", DEFAULT)), num_pose=decoder.num_pose, num_shape=int(arrays["num_shape"])
    )
    skin = SkinBasis(hand.num_vertices, NUM_TEXTURE)
    predictor = HandPredictor(network, decoder, skin, int(arrays["size"])).eval()
    with layers_expected(path, HandPredictor.file_format, REMEDY):
        for part in PARTS:
            getattr(predictor, part).load_state_dict(weights_in(arrays, f"{part}/"))
    return predictor
