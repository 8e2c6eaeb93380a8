"""`hand-mesh`: a detailed mesh with albedo, lit, by inverse rendering; `hand-mesh-neural`: drawn by a network."""

from copy import deepcopy

from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.datamanagers.image_sampler import ImageSamplerConfig
from nerfstudio_hands.geometry.large_steps import AdamUniformOptimizerConfig
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.method_configs.shared import ON_GPU, adam, decaying
from nerfstudio_hands.models.hand_mesh import HandMeshModelConfig
from nerfstudio_hands.models.hand_mesh_neural import HandMeshNeuralModelConfig

config = deepcopy(hand_uvnerf.config)
config.method_name = "hand-mesh"
config.pipeline.datamanager.pixel_sampler = ImageSamplerConfig()
config.pipeline.model = HandMeshModelConfig()
del config.optimizers["fields"]
config.max_num_iterations = 2000 if ON_GPU else 1000
config.optimizers["displacement"] = decaying(AdamUniformOptimizerConfig(lr=1e-3))
config.optimizers["albedo"] = adam(2e-2, eps=1e-15)
config.optimizers["light"] = adam(1e-2, eps=1e-15)

hand_mesh = MethodSpecification(
    config=config,
    description="Detailed, textured, rigged mesh of a hand: inverse rendering of geometry, albedo and light.",
)

neural_config = deepcopy(config)
neural_config.method_name = "hand-mesh-neural"
neural_config.pipeline.model = HandMeshNeuralModelConfig()
neural_config.optimizers["shader"] = adam(2e-3, eps=1e-15)

hand_mesh_neural = MethodSpecification(
    config=neural_config,
    description="The mesh of hand-mesh, drawn by a network that adds what a matt surface lacks.",
)
