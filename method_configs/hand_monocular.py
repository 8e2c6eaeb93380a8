"""`hand-monocular`: one picture to one hand."""

from nerfstudio.configs.base_config import LoggingConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManagerConfig
from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.models.hand_monocular import HandMonocularModelConfig, WeaklySupervisedModelConfig
from nerfstudio_hands.training.picture_pipeline import PicturePipelineConfig
from nerfstudio_hands.training.schedules import CosineDecaySchedulerConfig
from nerfstudio_hands.training.trainer import HandMachineConfig, HandTrainerConfig, default_device

DEVICE = default_device()
ON_GPU = DEVICE == "cuda"



def _config(name: str, model: HandMonocularModelConfig) -> HandTrainerConfig:
    return HandTrainerConfig(
        method_name=name,
        max_num_iterations=100_000 if ON_GPU else 4000,
        steps_per_save=500,
        steps_per_eval_batch=200,
        steps_per_eval_image=500,
        steps_per_eval_all_images=2000,
        mixed_precision=False,
        machine=HandMachineConfig(device_type=DEVICE),
        logging=LoggingConfig(steps_per_log=20, profiler="none"),
        pipeline=PicturePipelineConfig(
            datamanager=HandImageDataManagerConfig(
                dataparser=HandImagesDataParserConfig(),
                batch_size=128 if ON_GPU else 32,
                workers=8 if ON_GPU else 1,
            ),
            model=model,
        ),
        optimizers={
            "encoder": {
                "optimizer": AdamOptimizerConfig(lr=5e-4, eps=1e-8),
                "scheduler": CosineDecaySchedulerConfig(final_fraction=0.02),
            },
            "heads": {
                "optimizer": AdamOptimizerConfig(lr=1e-3, eps=1e-8),
                "scheduler": CosineDecaySchedulerConfig(final_fraction=0.02),
            },
        },
        viewer=ViewerConfig(websocket_host="127.0.0.1", quit_on_train_completion=True, max_num_display_images=64),
        vis="viewer+tensorboard",
    )


hand_monocular = MethodSpecification(
    config=_config("hand-monocular", HandMonocularModelConfig()),
    description="One picture, one hand: pose, shape, place, skin and light, from true joints in space.",
)
hand_monocular_weak = MethodSpecification(
    config=_config("hand-monocular-weak", WeaklySupervisedModelConfig()),
    description="The same from joints in pictures alone; detected ones by --pipeline.datamanager.detections.",
)
