"""`hand-canonical`: a radiance field in the zero pose of the hand. All but the warp is that of `hand-uvnerf`."""

from copy import deepcopy

from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.models.hand_canonical import HandCanonicalModelConfig
from nerfstudio_hands.training.schedules import CosineDecaySchedulerConfig

config = deepcopy(hand_uvnerf.config)
config.method_name = "hand-canonical"
config.pipeline.model = HandCanonicalModelConfig()
config.optimizers["warp"] = {
    "optimizer": AdamOptimizerConfig(lr=1e-3, eps=1e-10),
    "scheduler": CosineDecaySchedulerConfig(),
}

hand_canonical = MethodSpecification(
    config=config,
    description="Photoreal, posable hand avatar: a radiance field in the hand's zero pose.",
)
