"""`hand-splat`: Gaussians on the hand's surface, drawn in real time."""

from copy import deepcopy

from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.datamanagers.image_sampler import ImageSamplerConfig
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.method_configs.shared import ON_GPU, adam
from nerfstudio_hands.models.hand_splat import HandSplatModelConfig

config = deepcopy(hand_uvnerf.config)
config.method_name = "hand-splat"
config.pipeline.datamanager.pixel_sampler = ImageSamplerConfig(draws_objects=True)
config.pipeline.model = HandSplatModelConfig()
del config.optimizers["fields"]
config.max_num_iterations = 4000 if ON_GPU else 1000
for group, rate in {
    "splat_places": 5e-3,
    "object_places": 2e-4,
    "splat_shapes": 1e-2,
    "splat_opacities": 3e-2,
    "splat_colors": 1e-2,
    "splat_views": 2e-3,
    "vertices": 5e-3,
    "light": 1e-2,
    "correctives": 1e-3,
}.items():
    config.optimizers[group] = adam(rate, eps=1e-15)

config.optimizers["object_poses"] = config.optimizers["camera_opt"]

hand_splat = MethodSpecification(
    config=config,
    description="Real-time hand avatar: Gaussians on the hand's surface, drawn without a GPU too.",
)
