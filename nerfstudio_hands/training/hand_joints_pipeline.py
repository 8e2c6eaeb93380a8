"""The pipeline of `hand-from-joints`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Type

import numpy as np
import torch

from nerfstudio_hands.datamanagers.hand_joints_datamanager import HandJointsDataManager, HandJointsDataManagerConfig
from nerfstudio_hands.datamanagers.joint_batches import JointBatch, rows_of
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.models.hand_from_joints import HandFromJointsModel, HandFromJointsModelConfig
from nerfstudio_hands.program.memory import explain_out_of_memory
from nerfstudio_hands.training.evaluation_files import evaluation_folder, write_account, write_png
from nerfstudio_hands.training.sample_pipeline import SamplePipeline
from nerfstudio_hands.training.sound_pipeline import SoundPipelineConfig

NEXT_COMMANDS = (
    "ns-hands predict --load-config {config} --save-network network.npz",
    "ns-eval --load-config {config} --output-path eval.json",
    "ns-viewer --load-config {config}",
)
"""What to do with a run."""

EVALUATED_AT_ONCE = 64
"""Hands that an evaluation looks at together."""

IMAGES_WRITTEN = 16
"""Held-out hands that an evaluation draws, evenly spread."""


@dataclass
class HandJointsPipelineConfig(SoundPipelineConfig):
    """Data manager and model of a method that is given joints."""

    _target: Type = field(default_factory=lambda: HandJointsPipeline)
    """target class to instantiate"""
    datamanager: HandJointsDataManagerConfig = field(default_factory=HandJointsDataManagerConfig)
    """Which hands a step sees."""
    model: HandFromJointsModelConfig = field(default_factory=HandFromJointsModelConfig)
    """What is learned of them."""

    def check_data(self) -> str:
        data = self.datamanager
        if data.data is not None:
            raise HandsError(
                f"--data: expected none, because hands are drawn, found {data.data}: give captures whose poses are to "
                "be learned from, too, as --pipeline.datamanager.captures."
            )
        for folder in data.captures:
            if not folder.expanduser().is_dir():
                raise HandsError(
                    "--pipeline.datamanager.captures: expected folders in InterHand2.6M's layout, found none at "
                    f"{folder}: correct the path."
                )
        captured = "".join(f", poses of {folder}" for folder in data.captures)
        return f"drawn hands{captured}, one step in {data.detailed_every} with vertices"

    def next_commands(self) -> tuple[str, ...]:
        return NEXT_COMMANDS


class HandJointsPipeline(SamplePipeline):
    """Held-out hands are judged by true joints, and by joints as a detector would give them."""

    config: HandJointsPipelineConfig
    datamanager: HandJointsDataManager

    def export_remedy(self) -> str:
        return "its network is written by `ns-hands predict --load-config .. --save-network ..`."

    @property
    def model(self) -> HandFromJointsModel:
        return super().model  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def get_average_eval_image_metrics(
        self, step: Optional[int] = None, output_path: Optional[Path] = None, get_std: bool = False
    ) -> Dict[str, float]:
        """Mean errors of held-out hands in millimeters, given true joints (`clean`) and corrupted ones.

        Args:
            step: Of the training that goes on.
            output_path: Folder for pictures of some predictions and their figures; nothing is written without it.
            get_std: Not used.
        """
        self.eval()
        manager = self.datamanager
        figures = {}
        with explain_out_of_memory("evaluation", "lower --pipeline.datamanager.held-out"):
            for name, is_corrupted in (("clean", False), ("corrupted", True)):
                hands = manager.samples.of(manager.test_split, is_corrupted=is_corrupted)
                figures |= {f"{name}_{of}_mm": value for of, value in self._mean_errors(hands).items()}
        if output_path is not None:
            with evaluation_folder(output_path):
                self._write_examples(output_path)
        self.train()
        return figures

    def _mean_errors(self, hands: JointBatch) -> Dict[str, float]:
        found = []
        for start in range(0, len(hands["scale"]), EVALUATED_AT_ONCE):
            part = self.datamanager.to_device(rows_of(hands, slice(start, start + EVALUATED_AT_ONCE)))
            found.append(self.model.errors(self.model.predict(part), part))
        return {name: float(torch.cat([errors[name] for errors in found]).mean()) for name in found[0]}

    def _write_examples(self, folder: Path) -> None:
        """Pictures of some predictions, and their figures."""
        manager = self.datamanager
        account: list[Any] = []
        for row in np.unique(np.linspace(0, len(manager.eval_dataset) - 1, IMAGES_WRITTEN).astype(int)).tolist():
            camera, batch = manager.next_eval_image(row)
            figures, images = self.model.get_image_metrics_and_images(self.model.get_outputs_for_camera(camera), batch)
            for name, image in images.items():
                write_png(folder / f"{name}_{row:08d}.png", image)
            account.append({"row": row, "figures": figures})
        write_account(folder / "figures.json", account)
