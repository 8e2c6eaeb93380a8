"""The networks of runs of methods that predict hands, without their data."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.weights_file import JointPredictor
from nerfstudio_hands.files.checkpoints import (
    checkpoint_path,
    model_weights,
    read_checkpoint,
    require_same_hand,
    require_same_weights,
    spelled,
)
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor
from nerfstudio_hands.models.sample_model import SampleModelConfig
from nerfstudio_hands.training.run_config import load_config

LEARNED = ("network.", "skin.")
"""Parts of a model that a prediction needs."""


def predictor_of_run(path: Path) -> HandPredictor | ScenePredictor | JointPredictor:
    """What a run learned, ready for predictions, on the CPU.

    Args:
        path: The run's config.yml.

    Raises:
        HandsError: There is no such file, it is the run of another method, or its checkpoint cannot be read or belongs
            to another hand model.
    """
    config = load_config(path)
    model = config.pipeline.model
    predictor = model.predictor(config.pipeline.datamanager) if isinstance(model, SampleModelConfig) else None
    if predictor is None:
        raise HandsError(
            f"{path}: expected a run of hand-monocular, of hand-from-joints, or of hand-object-sdf whose bones come "
            f"from a network and not from labels, found one of {config.method_name}: give the config.yml of such a run."
        )
    state = read_checkpoint(checkpoint_path(path.absolute().parent / config.relative_model_dir, config.load_step))
    weights = model_weights(state["pipeline"])
    if isinstance(predictor, HandPredictor):
        require_same_hand(spelled(predictor.decoder.hand.name), weights)
    own = predictor.state_dict()
    require_same_weights(own, {name: value for name, value in weights.items() if name.startswith(LEARNED)})
    predictor.load_state_dict({name: weights[name] for name in own})
    return predictor.eval()
