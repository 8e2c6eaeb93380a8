"""`hand-canonical`: a radiance field in the zero pose of the hand. All but the warp is that of `hand-uvnerf`."""

from copy import deepcopy

from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.method_configs.shared import RAYS_AT_ONCE, adam
from nerfstudio_hands.models.hand_canonical import HandCanonicalModelConfig

config = deepcopy(hand_uvnerf.config)
config.method_name = "hand-canonical"
config.pipeline.model = HandCanonicalModelConfig(eval_num_rays_per_chunk=RAYS_AT_ONCE)
config.optimizers["warp"] = adam(1e-3)

hand_canonical = MethodSpecification(
    config=config,
    description="Photoreal, posable hand avatar: a radiance field in the hand's zero pose.",
)
