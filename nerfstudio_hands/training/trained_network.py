"""The networks of runs of methods that look at pictures, without their data."""

from __future__ import annotations

from pathlib import Path

from nerfstudio_hands.datamanagers.scene_datamanager import REACH, SceneDataManagerConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.monocular.decoder import HandDecoder
from nerfstudio_hands.estimators.monocular.network import NUM_TEXTURE, MonocularNetwork
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor
from nerfstudio_hands.estimators.monocular.skin_basis import SkinBasis
from nerfstudio_hands.files.checkpoints import checkpoint_path, model_weights, read_checkpoint, require_same_weights
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.model_components.scene_prediction import ScenePredictor
from nerfstudio_hands.models.hand_monocular import HandMonocularModelConfig
from nerfstudio_hands.models.hand_object_sdf import HandObjectSDFModelConfig
from nerfstudio_hands.training.run_config import load_config

LEARNED = ("network.", "skin.")
"""Parts of a model that a prediction needs."""


def predictor_of_run(path: Path) -> HandPredictor | ScenePredictor:
    """What a run learned, ready for predictions, on the CPU.

    Args:
        path: The run's config.yml.

    Raises:
        HandsError: There is no such file, it is the run of another method, or its checkpoint cannot be read or belongs
            to another hand model.
    """
    config = load_config(path)
    model, data = config.pipeline.model, config.pipeline.datamanager
    if isinstance(model, HandMonocularModelConfig):
        predictor = _hand_predictor(model, data.size)  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(model, HandObjectSDFModelConfig) and isinstance(data, SceneDataManagerConfig):
        predictor = _scene_predictor(path, model, data)
    else:
        raise HandsError(
            f"{path}: expected a run of hand-monocular or hand-object-sdf, found one of {config.method_name}: give the "
            "config.yml of such a run."
        )
    state = read_checkpoint(checkpoint_path(path.absolute().parent / config.relative_model_dir, config.load_step))
    weights = model_weights(state["pipeline"])
    own = predictor.state_dict()
    require_same_weights(own, {name: value for name, value in weights.items() if name.startswith(LEARNED)})
    predictor.load_state_dict({name: weights[name] for name in own})
    return predictor.eval()


def _hand_predictor(model: HandMonocularModelConfig, size: int) -> HandPredictor:
    hand = load_hand(model.hand_model, "right")
    network = MonocularNetwork(backbone=model.backbone, num_shape=hand.num_shape)
    return HandPredictor(network, HandDecoder(hand), SkinBasis(hand.num_vertices, NUM_TEXTURE), size)


def _scene_predictor(path: Path, model: HandObjectSDFModelConfig, data: SceneDataManagerConfig) -> ScenePredictor:
    if model.skeleton != "network":
        raise HandsError(
            f"{path}: expected a run with a pose network, found one whose bones are those of labels, which pictures of "
            "one's own have none of: train with --pipeline.model.skeleton network."
        )
    return ScenePredictor(
        model.scene_network(), size=data.size, margin=data.margin, clip=data.clip, reach=REACH, voxel=model.voxel
    )
