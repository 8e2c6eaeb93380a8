"""`hand-monocular`: one picture to one hand."""

from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManagerConfig
from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.method_configs.pictures import image_training
from nerfstudio_hands.method_configs.shared import ON_GPU
from nerfstudio_hands.models.hand_monocular import HandMonocularModelConfig, WeaklySupervisedModelConfig
from nerfstudio_hands.training.image_pipeline import ImagePipelineConfig
from nerfstudio_hands.training.trainer import HandTrainerConfig


def _config(name: str, model: HandMonocularModelConfig) -> HandTrainerConfig:
    pipeline = ImagePipelineConfig(
        datamanager=HandImageDataManagerConfig(
            dataparser=HandImagesDataParserConfig(),
            batch_size=128 if ON_GPU else 32,
            workers=8 if ON_GPU else 1,
        ),
        model=model,
    )
    return image_training(name, pipeline, 100_000 if ON_GPU else 4000)


hand_monocular = MethodSpecification(
    config=_config("hand-monocular", HandMonocularModelConfig()),
    description="One picture, one hand: pose, shape, place, skin and light, from true joints in space.",
)
hand_monocular_weak = MethodSpecification(
    config=_config("hand-monocular-weak", WeaklySupervisedModelConfig()),
    description="The same from joints in pictures alone; detected ones by --pipeline.datamanager.detections.",
)
