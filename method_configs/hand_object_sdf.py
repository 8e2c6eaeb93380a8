"""`hand-object-pose`, `hand-object-sdf` and what belongs to them: a hand and what it holds from a picture or a clip."""

from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_hands.datamanagers.scene_datamanager import SceneDataManagerConfig
from nerfstudio_hands.dataparsers.hand_object_dataparser import HandObjectDataParserConfig
from nerfstudio_hands.method_configs.pictures import image_training
from nerfstudio_hands.method_configs.shared import ON_GPU
from nerfstudio_hands.models.hand_object_pose import HandObjectPoseModelConfig
from nerfstudio_hands.models.hand_object_sdf import (
    AlignSDFModelConfig,
    GraspingFieldModelConfig,
    HandObjectSDFModelConfig,
)
from nerfstudio_hands.models.image_model import ImageModelConfig
from nerfstudio_hands.training.scene_pipeline import ScenePipelineConfig, ScenePosePipelineConfig
from nerfstudio_hands.training.trainer import HandTrainerConfig


def _config(
    name: str,
    model: ImageModelConfig,
    pipeline: type[ScenePosePipelineConfig] = ScenePipelineConfig,
    *,
    points: int = 512,
    clip: int = 1,
    batch_size: int = 16,
) -> HandTrainerConfig:
    datamanager = SceneDataManagerConfig(
        dataparser=HandObjectDataParserConfig(drawn_frames=8 if clip > 1 else 1),
        batch_size=(128 if ON_GPU else batch_size) // clip,
        crops_per_image=1 if clip > 1 else 2,
        workers=8 if ON_GPU else 1,
        points=2000 if ON_GPU and points else points,
        clip=clip,
    )
    steps = 200_000 if ON_GPU else 3000
    return image_training(name, pipeline(datamanager=datamanager, model=model), steps, distances=5e-3)


hand_object_pose = MethodSpecification(
    config=_config("hand-object-pose", HandObjectPoseModelConfig(), ScenePosePipelineConfig, points=0, batch_size=32),
    description="One picture: the joints of a hand, and the center of what it holds, in space.",
)
hand_object_sdf = MethodSpecification(
    config=_config("hand-object-sdf", HandObjectSDFModelConfig()),
    description="One picture: closed surfaces of a hand and what it holds (gSDF); needs a run of hand-object-pose.",
)
hand_object_sdf_video = MethodSpecification(
    config=_config("hand-object-sdf-video", HandObjectSDFModelConfig(clip="ordered"), clip=3, batch_size=18),
    description="The same from three pictures of a clip, which look at each other.",
)
hand_object_grasping_field = MethodSpecification(
    config=_config("hand-object-grasping-field", GraspingFieldModelConfig()),
    description="Baseline of hand-object-sdf: distances from the whole picture, without a skeleton.",
)
hand_object_alignsdf = MethodSpecification(
    config=_config("hand-object-alignsdf", AlignSDFModelConfig()),
    description="Baseline of hand-object-sdf: distances from the whole picture, aligned by wrist and center alone.",
)
