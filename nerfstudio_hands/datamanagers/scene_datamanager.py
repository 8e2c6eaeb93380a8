"""nerfstudio's data manager of methods that see a hand and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Type, cast

from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion

from nerfstudio_hands.datamanagers.crop_batches import Augmentation
from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManager, HandImageDataManagerConfig
from nerfstudio_hands.datamanagers.scene_batches import SceneBatches
from nerfstudio_hands.dataparsers.hand_object_dataparser import HandObjectDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.hand_image import HandObjectImages
from nerfstudio_hands.hand_images.held_meshes import check_held
from nerfstudio_hands.program.option_range import bounded
from nerfstudio_hands.program.progress import say

REACH = 0.28
"""Half the edge of the cube round the wrist in which distances are learned, meters: gSDF's of ObMan."""


@dataclass
class SceneDataManagerConfig(HandImageDataManagerConfig):
    """Cuts crops of pictures and draws points round hand and object, in processes beside the training's."""

    _target: Type = field(default_factory=lambda: SceneDataManager)
    """target class to instantiate"""
    dataparser: AnnotatedDataParserUnion = field(default_factory=HandObjectDataParserConfig)  # pyright: ignore[reportAssignmentType]
    """Where pictures come from."""
    margin: bounded(float, 1, 5) = 1.8
    """Side of the crop over the longer side of the box of the hand's joints."""
    points: bounded(int, 0, 100_000) = 512
    """Points of a picture at which distances are learned, half of them round the hand, half round the object."""
    clip: bounded(int, 1, 16) = 1
    """Pictures that are looked at together, the last of them evaluated."""
    affine: bool = False
    """Whether crops are cut out of pictures as they are while labels are turned, as gSDF does it, instead of being what
    a camera that is turned onto the hand takes; for comparisons."""
    sees: bool = True
    """Whether pictures are read; without, all are black, and a step costs less."""


class SceneDataManager(HandImageDataManager):
    """Training and held-out batches of crops with points."""

    config: SceneDataManagerConfig

    def setup_train(self) -> None:
        """Says what held meshes are like before anything is learned of them; drawn ones are whole."""
        super().setup_train()
        config = self.config
        is_drawn = config.dataparser.chosen_layout() == "drawn"  # pyright: ignore[reportAttributeAccessIssue]
        if self.test_mode != "val" or not config.points or is_drawn or self.train_batches.rank:
            return
        source = cast(HandObjectImages, self.sources["train"])
        try:
            say(f"{source.name}: {check_held(source).summary()}")
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error

    def cut(self) -> Dict[str, Any]:
        return {**super().cut(), "affine": self.config.affine}

    def batches_of(self, split: str, augmentation: Augmentation | None) -> SceneBatches:
        config = self.config
        return SceneBatches(
            self.sources[split],  # pyright: ignore[reportArgumentType]
            points=config.points,
            reach=REACH,
            clip=config.clip,
            sees=config.sees,
            **self.batch_options(split, augmentation),
        )
