"""nerfstudio's data manager of `hand-from-joints`: its batches are hands that are drawn, and no rays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Tuple, Type, Union, cast

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datamanagers.base_datamanager import DataManager, DataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.joint_batches import (
    JointBatch,
    JointBatches,
    RightHand,
    SampleHands,
    rows_of,
)
from nerfstudio_hands.dataparsers.captured_poses import captured_angles
from nerfstudio_hands.dataparsers.hand_images_dataparser import side_by_side
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.program.option_range import bounded

SIDE, FOCAL = 224, 400.0
"""Pixels of the pictures that the viewer shows, and their focal length."""


@dataclass
class HandJointsDataManagerConfig(DataManagerConfig):
    """Draws hands at random within the joint limits and between gestures, and joints as a detector would give them."""

    _target: Type = field(default_factory=lambda: HandJointsDataManager)
    """target class to instantiate"""
    data: Optional[Path] = None
    """Not used: hands are drawn; see captures."""
    hand_model: str = "default"
    """Hand that is drawn: "default" is the built-in CC0 hand; or a folder with MANO_LEFT.pkl and MANO_RIGHT.pkl."""
    captures: Tuple[Path, ...] = ()
    """Captures with joints in space (InterHand2.6M's layout) whose fitted poses are learned from, too."""
    batch_size: bounded(int, 1, 65536) = 256
    """Hands of a training step, of each process that trains."""
    detailed: bounded(int, 1, 65536) = 16
    """Hands of a step with vertices whose vertices are compared, which cost most."""
    detailed_every: bounded(int, 1, 10**6) = 9
    """Steps from one that sees vertices to the next; the others see joints alone, a twentieth of the work."""
    held_out: bounded(int, 2, 10**6) = 600
    """Hands that are judged."""
    shown: bounded(int, 1, 256) = 12
    """Hands, drawn as those of the training, that the viewer shows."""

    def keep_with(self, run: Path, goes_on_from: Optional[Path]) -> None:
        """Makes paths absolute; a run keeps nothing of its data."""
        if self.hand_model != "default":
            self.hand_model = str(Path(self.hand_model).expanduser().absolute())
        self.captures = tuple(folder.expanduser().absolute() for folder in self.captures)


class HandJointsDataset(InputDataset):
    """What nerfstudio shows of drawn hands: their cameras. Pictures there are none; they are white."""

    exclude_batch_keys_from_device: List[str] = []

    def get_numpy_image(self, image_idx: int) -> np.ndarray:
        return np.full((SIDE, SIDE, 3), 255, np.uint8)

    def get_metadata(self, data: Dict) -> Dict:
        return {"row": self.metadata["rows"][data["image_idx"]]}


class HandJointsDataManager(DataManager):
    """Training and held-out batches of drawn hands."""

    config: HandJointsDataManagerConfig
    train_dataset: HandJointsDataset
    eval_dataset: HandJointsDataset

    def __init__(
        self,
        config: HandJointsDataManagerConfig,
        device: Union[torch.device, str] = "cpu",
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs: Any,
    ) -> None:
        self.config = config
        self.device = device
        self.world_size, self.local_rank = world_size, local_rank
        self.test_mode = test_mode
        self.test_split = "test" if test_mode in ("test", "inference") else "val"
        try:
            # Hands are drawn on the CPU, wherever the model learns.
            hand = RightHand(load_hand(config.hand_model, "right"))
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        self.samples = SampleHands(hand, shown=config.shown, held_out=config.held_out)
        self.train_dataparser_outputs = self._outputs("train", config.shown)
        self.train_dataset = HandJointsDataset(self.train_dataparser_outputs)
        self.eval_dataset = HandJointsDataset(self._outputs(self.test_split, config.held_out))
        self.includes_time = False
        self.exclude_batch_keys_from_device = []
        super().__init__()

    def setup_train(self) -> None:
        """Has poses of captures fitted, where that was not done before; only a training needs them."""
        config = self.config
        if self.test_mode != "val":
            return
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        try:
            known = captured_angles(config.captures, config.hand_model) if config.captures else None
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        self.train_batches = JointBatches(
            self.samples.hand,
            batch_size=config.batch_size,
            detailed=config.detailed,
            detailed_every=config.detailed_every,
            # nerfstudio seeds each process with the machine's seed and its rank.
            seed=(torch.initial_seed() - rank) % 2**32,
            rank=rank,
            known_angles=known,
        )

    def next_train(self, step: int) -> Tuple[Cameras, JointBatch]:
        """The batch of a step, and a camera that nothing is done with."""
        self.train_count += 1
        return self.train_dataset.cameras[:1], self.to_device(self.train_batches[step])

    def next_eval(self, step: int) -> Tuple[Cameras, JointBatch]:
        self.eval_count += 1
        few = min(self.config.detailed, self.config.held_out)
        start = step * few % (self.config.held_out - few + 1)
        batch = rows_of(self.samples.of(self.test_split), slice(start, start + few))
        return self.eval_dataset.cameras[:1], self.to_device(batch)

    def next_eval_image(self, step: int) -> Tuple[Cameras, JointBatch]:
        """A held-out hand and the camera that it is shown by."""
        index = step % len(self.eval_dataset)
        camera = self.eval_dataset.cameras[index : index + 1].to(self.device)
        return camera, self.sample(index, self.test_split)

    def sample(self, row: int, split: str) -> JointBatch:
        """A hand as a batch of one."""
        return self.to_device(rows_of(self.samples.of(split), slice(row, row + 1)))

    @property
    def fixed_indices_eval_dataloader(self) -> FixedIndicesEvalDataloader:
        return FixedIndicesEvalDataloader(self.eval_dataset, device=self.device)

    def get_train_rays_per_batch(self) -> int:
        """Hands: nerfstudio prints them as rays a second."""
        return self.config.batch_size

    def get_eval_rays_per_batch(self) -> int:
        return self.config.detailed

    def get_datapath(self) -> Path:
        return Path()

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {}

    def _outputs(self, split: str, count: int) -> DataparserOutputs:
        focal = torch.full((count, 1), FOCAL)
        return side_by_side(list(range(count)), split, focal, SIDE, hand_model=self.config.hand_model)

    def to_device(self, batch: JointBatch) -> JointBatch:
        """A batch where the model is."""
        return cast(JointBatch, {name: value.to(self.device) for name, value in batch.items()})  # pyright: ignore[reportAttributeAccessIssue]
