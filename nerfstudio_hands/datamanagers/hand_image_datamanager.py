"""nerfstudio's data manager of methods whose batch is pictures, each of one hand, and not rays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Tuple, Type, Union

import cv2
import numpy as np
import torch
import tyro
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.base_datamanager import DataManager, VanillaDataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from torch.nn import Parameter
from torch.utils.data import DataLoader

from nerfstudio_hands.datamanagers.crop_batches import (
    Augmentation,
    CropBatch,
    CropBatches,
    plain_crop,
    right_hand,
)
from nerfstudio_hands.dataparsers.hand_images_dataparser import (
    CROP,
    HandImagesDataParser,
    HandImagesDataParserConfig,
)
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.crops import MARGIN
from nerfstudio_hands.hand_images.detections import DetectedHandImages, read_detections
from nerfstudio_hands.hand_images.hand_image import HandImages
from nerfstudio_hands.program.option_range import Fraction, RayCount, bounded


@dataclass
class HandImageDataManagerConfig(VanillaDataManagerConfig):
    """Cuts crops of pictures, in processes beside the training's."""

    _target: Type = field(default_factory=lambda: HandImageDataManager)
    """target class to instantiate"""
    dataparser: AnnotatedDataParserUnion = field(default_factory=HandImagesDataParserConfig)  # pyright: ignore[reportAssignmentType]
    """Where pictures come from."""
    train_num_rays_per_batch: tyro.conf.Suppress[RayCount] = 1024
    """Not used: there are no rays."""
    eval_num_rays_per_batch: tyro.conf.Suppress[RayCount] = 1024
    """Not used: there are no rays."""
    batch_size: bounded(int, 1, 8192) = 32
    """Pictures of a training step, of each process that trains."""
    size: bounded(int, 32, 512) = 128
    """Side of the crop that the network sees, pixels."""
    margin: bounded(float, 1, 5) = MARGIN
    """Side of the crop over the longer side of the box of the hand's joints."""
    detections: Optional[Path] = None
    """Joints that a detector found in the training's pictures (S2HAND's JSON), instead of all labels of them."""
    crops_per_image: bounded(int, 1, 64) = 2
    """Crops of a batch that are of one picture: reading or drawing it takes longer than cutting it."""
    epochs: bounded(Optional[float], 0, 10**6) = None
    """How often each picture is trained on; without, --max-num-iterations steps are trained."""
    workers: bounded(int, 0, 256) = 1
    """Processes that read or draw pictures; 0 does it in between."""
    roll: bounded(float, 0, 180) = 90.0
    """Degrees to either side by which training crops are turned about the optical axis."""
    scale: Fraction = 0.2
    """Part by which training crops are larger or smaller."""
    shift: Fraction = 0.1
    """Sides of the crop by which training crops are moved."""
    color: Fraction = 0.2
    """Part by which colors of training crops are stronger or weaker."""


class HandImageDataset(InputDataset):
    """What the viewer and `ns-render dataset` show: crops with their cameras, left hands in a mirror, as networks see
    them.

    Args:
        outputs: Of the parser.
        source: Of pictures.
        margin: Of the crops, see `CropBatches`.
        affine: The same.
    """

    exclude_batch_keys_from_device: List[str] = []

    def __init__(self, outputs: DataparserOutputs, source: HandImages, margin: float, *, affine: bool = False) -> None:
        super().__init__(outputs)
        self.source, self.margin, self.affine = source, margin, affine

    def get_numpy_image(self, image_idx: int) -> np.ndarray:
        picture, _ = right_hand(self.source.read(self.metadata["rows"][image_idx]))
        return plain_crop(picture, CROP, self.margin, affine=self.affine).rgb

    def get_metadata(self, data: Dict) -> Dict:
        return {"row": self.metadata["rows"][data["image_idx"]]}


class HandImageDataManager(DataManager):
    """Training and held-out batches of crops."""

    config: HandImageDataManagerConfig
    train_dataset: HandImageDataset
    eval_dataset: HandImageDataset

    def __init__(
        self,
        config: HandImageDataManagerConfig,
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
        config.data = config.dataparser.data = Path(config.data or config.dataparser.data)
        cut = self.cut()
        for name, value in cut.items():
            setattr(config.dataparser, name, value)
        try:
            self.dataparser: HandImagesDataParser = config.dataparser.setup()
            self.sources = {split: self.dataparser.source(split) for split in ("train", self.test_split)}
            if config.detections is not None:
                self.sources["train"] = DetectedHandImages(self.sources["train"], read_detections(config.detections))
            self.train_dataparser_outputs = self.dataparser.get_dataparser_outputs(split="train")
            self.train_dataset = HandImageDataset(self.train_dataparser_outputs, self.sources["train"], **cut)
            held_out = self.dataparser.get_dataparser_outputs(split=self.test_split)
            self.eval_dataset = HandImageDataset(held_out, self.sources[self.test_split], **cut)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        self.includes_time = False
        self.exclude_batch_keys_from_device = []
        self._loader: Iterator[CropBatch] | None = None
        self._next_step = -1
        super().__init__()

    def setup_train(self) -> None:
        config = self.config
        augmentation = Augmentation(config.roll, config.scale, config.shift, config.color)
        self.train_batches = self.batches_of("train", augmentation)

    def setup_eval(self) -> None:
        self.eval_batches = self.batches_of(self.test_split, None)

    def batches_of(self, split: str, augmentation: Augmentation | None) -> CropBatches:
        """Crops of a split."""
        return CropBatches(self.sources[split], **self.batch_options(split, augmentation))

    def batch_options(self, split: str, augmentation: Augmentation | None) -> Dict[str, Any]:
        """Arguments of `CropBatches` beside the source."""
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        return {
            "size": self.config.size,
            "batch_size": min(self.config.batch_size, len(self.sources[split])),
            # nerfstudio seeds each process with the machine's seed and its rank; the order is that of all.
            "seed": (torch.initial_seed() - rank) % 2**31,
            "augmentation": augmentation,
            "rank": rank,
            "world_size": world,
            "crops_per_image": 1 if augmentation is None else self.config.crops_per_image,
            **self.cut(),
        }

    def cut(self) -> Dict[str, Any]:
        """How crops are cut: for batches, for the viewer, and for the data parser, which says their cameras."""
        return {"margin": self.config.margin}

    def next_train(self, step: int) -> Tuple[Cameras, CropBatch]:
        """The batch of a step; the cameras are those of its views."""
        self.train_count += 1
        if self._loader is None or step != self._next_step:
            self._loader = self._loaded_from(step)
        self._next_step = step + 1
        try:
            batch = self._to_device(next(self._loader))
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        return cameras_of(batch), batch

    def next_eval(self, step: int) -> Tuple[Cameras, CropBatch]:
        self.eval_count += 1
        batch = self._to_device(self.eval_batches[step])
        return cameras_of(batch), batch

    def next_eval_image(self, step: int) -> Tuple[Cameras, CropBatch]:
        """A held-out picture and its camera in the viewer's world."""
        index = step % len(self.eval_dataset)
        camera = self.eval_dataset.cameras[index : index + 1].to(self.device)
        return camera, self.sample(self.eval_dataset.metadata["rows"][index], self.test_split)

    def sample(self, row: int, split: str) -> CropBatch:
        """A picture as a network sees it, as a batch of one."""
        return self.samples([row], split)

    def samples(self, rows: List[int], split: str) -> CropBatch:
        """Pictures as a network sees them."""
        # `ns-render dataset` may ask for a split that is neither learned from nor judged.
        self.sources.setdefault(split, self.dataparser.source(split))
        return self._to_device(self.batches_of(split, None).plain(rows))

    @property
    def fixed_indices_eval_dataloader(self) -> FixedIndicesEvalDataloader:
        return FixedIndicesEvalDataloader(self.eval_dataset, device=self.device)

    def get_train_rays_per_batch(self) -> int:
        """Pictures: nerfstudio prints them as rays a second."""
        return self.config.batch_size

    def get_eval_rays_per_batch(self) -> int:
        return self.config.batch_size

    def get_datapath(self) -> Path:
        return self.config.dataparser.data

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {}

    def _loaded_from(self, step: int) -> Iterator[CropBatch]:
        """Batches from a step on."""
        workers = self.config.workers
        loader = DataLoader(
            self.train_batches,
            batch_size=None,
            sampler=range(step, 2**31),
            num_workers=workers,
            # What draws pictures does not survive a fork.
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_one_thread,
            prefetch_factor=4 if workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        return iter(loader)

    def _to_device(self, batch: CropBatch) -> CropBatch:
        moved = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}  # pyright: ignore[reportAttributeAccessIssue]
        return moved  # pyright: ignore[reportReturnType]


def cameras_of(batch: CropBatch) -> Cameras:
    """The views of a batch as nerfstudio's cameras, each at the origin of its own axes (x right, y up, z back)."""
    size = batch["image"].shape[-1]
    focal = (batch["focal"] * size)[:, None]
    count = len(focal)
    axes = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    to_world = torch.cat([axes, torch.zeros(3, 1)], 1).expand(count, 3, 4)
    return Cameras(to_world, focal.cpu(), focal.cpu(), size / 2, size / 2, size, size).to(focal.device)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
