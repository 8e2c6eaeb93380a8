"""The network of a run of `hand-monocular`, without its data."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.monocular.decoder import HandDecoder
from nerfstudio_hands.estimators.monocular.network import NUM_TEXTURE, MonocularNetwork
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.monocular.skin_basis import SkinBasis
from nerfstudio_hands.files.checkpoints import checkpoint_path, model_weights, read_checkpoint, require_same_weights
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.models.hand_monocular import HandMonocularModelConfig
from nerfstudio_hands.training.run_config import load_config

LEARNED = ("network.", "skin.")
"""Parts of the model that a prediction needs."""


def predictor_of_run(path: Path) -> HandPredictor:
    """What a run learned, ready for predictions, on the CPU.

    Args:
        path: The run's config.yml.

    Raises:
        HandsError: There is no such file, it is the run of another method, or its checkpoint cannot be read or belongs
            to another hand model.
    """
    config = load_config(path)
    model = config.pipeline.model
    if not isinstance(model, HandMonocularModelConfig):
        raise HandsError(
            f"{path}: expected a run of hand-monocular, found one of {config.method_name}: give the config.yml of such "
            "a run."
        )
    state = read_checkpoint(checkpoint_path(path.absolute().parent / config.relative_model_dir, config.load_step))
    hand = load_hand(model.hand_model, "right")
    network = MonocularNetwork(backbone=model.backbone, num_shape=hand.num_shape)
    predictor = HandPredictor(
        network,
        HandDecoder(hand),
        SkinBasis(hand.num_vertices, NUM_TEXTURE),
        config.pipeline.datamanager.size,  # pyright: ignore[reportAttributeAccessIssue]
    )
    weights = model_weights(state["pipeline"])
    own = predictor.state_dict()
    require_same_weights(own, {name: value for name, value in weights.items() if name.startswith(LEARNED)})
    predictor.load_state_dict({name: weights[name] for name in own})
    return predictor.eval()
