"""Networks that predict hands: how those of each kind are read, written and asked about pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.monocular.weights_file import REMEDY, predictor_in, save_predictor
from nerfstudio_hands.estimators.weights_file import JointPredictor, save_network
from nerfstudio_hands.export.hand_finder import HandFinder
from nerfstudio_hands.export.prediction_run import PredictionRun
from nerfstudio_hands.export.scene_run import SceneRun
from nerfstudio_hands.files.formatted_npz import read_formatted_npz
from nerfstudio_hands.model_components.scene_network_file import save_scene_predictor, scene_predictor_in
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor

Predictor = HandPredictor | ScenePredictor | JointPredictor
Run = PredictionRun | SceneRun


About = dict[str, str | int | float]
"""What a network's file tells of its training."""


@dataclass(frozen=True)
class _Kind:
    read: Callable[[dict[str, np.ndarray], Path, str], Predictor]
    write: Callable[[Path, Any, About], None]
    run: Callable[[Any, HandFinder, bool, bool], Run]


def _scene_predictor_in(arrays: dict[str, np.ndarray], path: Path, hand_model: str) -> ScenePredictor:
    if hand_model != "default":
        raise HandsError(
            f"--hand-model: expected none with {path}, found {hand_model}: networks of hand and object are of the "
            "built-in hand."
        )
    return scene_predictor_in(arrays, path)


KINDS = {
    HandPredictor.file_format: _Kind(
        predictor_in,
        save_predictor,
        lambda predictor, finder, refine, register: PredictionRun(predictor, finder, refine=refine, register=register),
    ),
    ScenePredictor.file_format: _Kind(
        _scene_predictor_in, save_scene_predictor, lambda predictor, finder, *_: SceneRun(predictor, finder)
    ),
}
"""Those that look at pictures, by what their files call themselves."""


def read_predictor(path: Path, hand_model: str = "default") -> Predictor:
    """Reads a network that `write_predictor` wrote, ready for predictions, on the CPU.

    Args:
        path: The file.
        hand_model: "default" or a folder with MANO's or NIMBLE's files, for which it was trained.

    Raises:
        HandsError: It is no such file, is broken, or belongs to another hand model.
    """
    arrays = read_formatted_npz(path, *KINDS, what="a network", remedy=REMEDY)
    return KINDS[str(arrays["format"])].read(arrays, path, hand_model)


def write_predictor(path: Path, predictor: Predictor, about: About) -> None:
    """Writes a network; the file appears complete or not at all.

    Args:
        path: The file, .npz.
        predictor: Trained.
        about: What the file tells of the training.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    if isinstance(predictor, JointPredictor):
        save_network(path, predictor, about)
    else:
        KINDS[predictor.file_format].write(path, predictor, about)


def run_of(predictor: Predictor, finder: HandFinder, *, refine: bool, register: bool) -> Run:
    """What predicts picture by picture.

    Args:
        predictor: Trained.
        finder: Finds the hands that it is asked for.
        refine: Lay hands, where they have parameters, on what heat maps and detector see.
        register: Move these onto the outlines that pictures show.

    Raises:
        HandsError: The network does not look at pictures.
    """
    if isinstance(predictor, JointPredictor):
        raise HandsError(
            "--images: expected none with a run of hand-from-joints, whose network is given joints in space and no "
            "pictures: give --save-network alone."
        )
    return KINDS[predictor.file_format].run(predictor, finder, refine, register)
