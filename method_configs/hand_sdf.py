"""`hand-sdf`: the hand as a signed distance field, whose zero level is a watertight mesh."""

from copy import deepcopy

from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.method_configs.shared import RAYS_AT_ONCE, adam
from nerfstudio_hands.models.hand_sdf import HandSDFModelConfig

config = deepcopy(hand_uvnerf.config)
config.method_name = "hand-sdf"
config.pipeline.model = HandSDFModelConfig(eval_num_rays_per_chunk=RAYS_AT_ONCE // 4)
# Where the boundary is to a fraction of a pixel says more of the form than all colours.
config.pipeline.datamanager.pixel_sampler.boundary_fraction = 0.25
config.pipeline.datamanager.pixel_sampler.draws_objects = True
config.optimizers["distance"] = adam(1e-3)
config.optimizers["object_poses"] = config.optimizers["camera_opt"]

hand_sdf = MethodSpecification(
    config=config,
    description="Signed distance field of a hand: watertight surface, posable, from the same captures.",
)
