"""`hand-uvnerf`: a radiance field on the surface of the hand."""

from nerfstudio.configs.base_config import LoggingConfig, ViewerConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.method_configs.shared import DEVICE, ON_GPU, RAYS_AT_ONCE, adam
from nerfstudio_hands.models.hand_uvnerf import HandUVNeRFModelConfig
from nerfstudio_hands.training.pipeline import HandPipelineConfig
from nerfstudio_hands.training.trainer import HandMachineConfig, HandTrainerConfig

STEPS = 2500 if ON_GPU else 1000
INTERVAL = 2500 if ON_GPU else 500
"""Steps between checkpoints and looks at held-out pictures: on a GPU these take longer than the training."""

hand_uvnerf = MethodSpecification(
    config=HandTrainerConfig(
        method_name="hand-uvnerf",
        max_num_iterations=STEPS,
        steps_per_save=INTERVAL,
        steps_per_eval_batch=INTERVAL,
        steps_per_eval_image=INTERVAL,
        steps_per_eval_all_images=25000,
        mixed_precision=False,
        machine=HandMachineConfig(device_type=DEVICE),
        logging=LoggingConfig(steps_per_log=20, profiler="none"),
        pipeline=HandPipelineConfig(
            datamanager=HandDataManagerConfig(
                dataparser=HandsDataParserConfig(max_resolution=1280 if ON_GPU else 640),
                train_num_rays_per_batch=8192 if ON_GPU else 1024,
                eval_num_rays_per_batch=1024,
            ),
            model=HandUVNeRFModelConfig(eval_num_rays_per_chunk=RAYS_AT_ONCE),
        ),
        optimizers={
            "fields": adam(5e-3),
            "camera_colors": adam(5e-3),
            "camera_opt": adam(4e-4),
            "poses": adam(2e-4),
        },
        viewer=ViewerConfig(
            websocket_host="127.0.0.1",
            quit_on_train_completion=True,
            max_num_display_images=64,  # each is read from its file before training starts
            default_composite_depth=False,  # the mesh overlay lies in the rendered surface and would flicker through it
        ),
        vis="viewer+tensorboard",
    ),
    description="Photoreal, posable hand avatar: a radiance field on the hand's surface.",
)
