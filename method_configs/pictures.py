"""What trainings of methods that look at pictures have in common."""

from nerfstudio.configs.base_config import LoggingConfig, ViewerConfig

from nerfstudio_hands.method_configs.shared import DEVICE, decaying
from nerfstudio_hands.training.image_pipeline import ImagePipelineConfig
from nerfstudio_hands.training.optimizers import FusedAdamConfig
from nerfstudio_hands.training.trainer import HandMachineConfig, HandTrainerConfig


def image_training(name: str, pipeline: ImagePipelineConfig, steps: int, **rates: float) -> HandTrainerConfig:
    """A training of so many steps, with the encoder at half the rate of the heads, and further groups at `rates`."""
    return HandTrainerConfig(
        method_name=name,
        max_num_iterations=steps,
        steps_per_save=500,
        steps_per_eval_batch=200,
        steps_per_eval_image=500,
        steps_per_eval_all_images=2000,
        mixed_precision=False,
        machine=HandMachineConfig(device_type=DEVICE),
        logging=LoggingConfig(steps_per_log=20, profiler="none"),
        pipeline=pipeline,
        optimizers={
            group: decaying(FusedAdamConfig(lr=rate, eps=1e-8), final_fraction=0.02)
            for group, rate in {"encoder": 5e-4, "heads": 1e-3, **rates}.items()
        },
        viewer=ViewerConfig(websocket_host="127.0.0.1", quit_on_train_completion=True, max_num_display_images=64),
        vis="viewer+tensorboard",
    )
