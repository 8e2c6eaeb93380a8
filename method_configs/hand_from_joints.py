"""`hand-from-joints`: 21 joints in space to one hand."""

from nerfstudio.configs.base_config import LoggingConfig, ViewerConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.method_configs.shared import DEVICE, decaying
from nerfstudio_hands.training.hand_joints_pipeline import HandJointsPipelineConfig
from nerfstudio_hands.training.optimizers import FusedAdamConfig
from nerfstudio_hands.training.trainer import HandMachineConfig, HandTrainerConfig

hand_from_joints = MethodSpecification(
    config=HandTrainerConfig(
        method_name="hand-from-joints",
        max_num_iterations=11_200,
        steps_per_save=1000,
        steps_per_eval_batch=200,
        steps_per_eval_image=1000,
        steps_per_eval_all_images=2000,
        mixed_precision=False,
        machine=HandMachineConfig(device_type=DEVICE),
        logging=LoggingConfig(steps_per_log=100, profiler="none"),
        pipeline=HandJointsPipelineConfig(),
        optimizers={
            "network": decaying(FusedAdamConfig(lr=4e-3, eps=1e-8, max_norm=1.0), final_fraction=0.02),
        },
        viewer=ViewerConfig(websocket_host="127.0.0.1", quit_on_train_completion=True, max_num_display_images=64),
        vis="viewer+tensorboard",
    ),
    description="21 joints in space, noisy and incomplete, to pose, shape and vertices of a hand.",
)
