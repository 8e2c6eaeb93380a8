"""nerfstudio's data manager over crops of hands."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Iterator, List, Literal, Optional, Tuple, Type, Union

import numpy as np
import torch
from filelock import FileLock
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from nerfstudio_hands.datamanagers.batch import ImageBatch, RayBatch
from nerfstudio_hands.datamanagers.crop_cache import IN_REGION, CropCache
from nerfstudio_hands.datamanagers.crop_cutting import NAMED, load_or_build_crops
from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSampler, HandPixelSamplerConfig
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParser
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.program.option_range import RayCount


@dataclass
class HandDataManagerConfig(VanillaDataManagerConfig):
    """Keeps crops of a capture's images on disk and draws rays near the hand."""

    _target: Type = field(default_factory=lambda: HandDataManager)
    """target class to instantiate"""
    train_num_rays_per_batch: RayCount = 1024
    """Rays of a training step."""
    eval_num_rays_per_batch: RayCount = 1024
    """Rays of an evaluation on rays."""
    pixel_sampler: HandPixelSamplerConfig = field(default_factory=HandPixelSamplerConfig)
    """Which pixels are drawn."""


class HandDataManager(VanillaDataManager[TrainingImages]):
    """nerfstudio's data manager over crops; user's faults end the program with one sentence."""

    config: HandDataManagerConfig
    dataparser: HandsDataParser
    train_dataset: TrainingImages
    eval_dataset: EvaluationImages
    train_pixel_sampler: HandPixelSampler
    eval_pixel_sampler: HandPixelSampler

    def __init__(
        self,
        config: HandDataManagerConfig,
        device: Union[torch.device, str] = "cpu",
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs,
    ):
        self.config = config
        self.device = device
        self.world_size, self.local_rank = world_size, local_rank
        self.test_mode = test_mode
        self.test_split = "test" if test_mode in ("test", "inference") else "val"
        self.dataparser_config = config.dataparser
        config.data = config.dataparser.data = Path(config.data or config.dataparser.data)
        with _faults_said(), _one_after_the_other(config.data, world_size):
            self.dataparser = config.dataparser.setup()
            if test_mode == "val":
                self.dataparser.begin_run()
            self.includes_time = self.dataparser.includes_time
            self.train_dataparser_outputs = self.dataparser.get_dataparser_outputs(split="train")
            self.train_dataset = self.create_train_dataset()
            self.eval_dataset = self.create_eval_dataset()
            self.exclude_batch_keys_from_device = self.train_dataset.exclude_batch_keys_from_device
            # Past the constructor of nerfstudio's own, which compares the sizes of all cameras one by one: minutes for
            # a hundred thousand images.
            super(VanillaDataManager, self).__init__()

    def create_train_dataset(self) -> TrainingImages:
        return TrainingImages(self.train_dataparser_outputs, scale_factor=self.config.camera_res_scale_factor)

    def create_eval_dataset(self) -> EvaluationImages:
        outputs = self.dataparser.get_dataparser_outputs(split=self.test_split)
        return EvaluationImages(outputs, scale_factor=self.config.camera_res_scale_factor)

    def setup_train(self):
        self.train_pixel_sampler = self._sampler(self.config.pixel_sampler, self.config.train_num_rays_per_batch)
        self._train_cameras = self.train_dataset.cameras.to(self.device)
        if self.test_mode == "val":
            self.train_pixel_sampler.start_with(self.train_crops)

    def setup_eval(self):
        self.eval_dataset.crops = self._crops(self.eval_dataset, "held-out")
        self._eval_seen = np.flatnonzero(self.eval_dataset.crops.index["num_hand"])
        if not len(self._eval_seen):
            CONSOLE.print("[bold yellow]No held-out picture shows the hand: there is no evaluation.")
            self.eval_dataset = self.eval_dataset.emptied()
            return
        # The figure of a training's log is of the hand, whatever else is learned.
        plain = replace(self.config.pixel_sampler, draws_objects=False, draws_patches=False)
        self.eval_pixel_sampler = self._sampler(plain, self.config.eval_num_rays_per_batch)
        self._eval_cameras = self.eval_dataset.cameras.to(self.device)

    @cached_property
    def fixed_indices_eval_dataloader(self) -> FixedIndicesEvalDataloader:
        """Every held-out image with a region over which figures are taken, one at a time."""
        with _faults_said():
            self.dataparser.check_held_out()
        if not len(self.eval_dataset):
            raise SystemExit(
                "error: evaluation: expected held-out pictures of the hand, found none: train with some held out, "
                "`--eval-cameras`."
            )
        crops = self.eval_dataset.crops
        if crops is None:
            return FixedIndicesEvalDataloader(self.eval_dataset, device=self.device)
        has_region = np.array([(crops.crop(index).pixels[..., 3] & IN_REGION).any() for index in self._eval_seen])
        others = [str(self.eval_dataset.image_filenames[index]) for index in self._eval_seen[~has_region]]
        if not has_region.any():
            raise SystemExit(
                "error: evaluation: expected masks of the hand in held-out pictures, found none in "
                f"{', '.join(others[:NAMED])}: hold out cameras with masks, `--eval-cameras`."
            )
        if others:
            CONSOLE.print(
                f"{len(others):,} held-out pictures have no mask where the hand is and are not evaluated: "
                f"{', '.join(others[:NAMED])}{', ..' if len(others) > NAMED else ''}",
                style="bold yellow",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        return FixedIndicesEvalDataloader(self.eval_dataset, self._eval_seen[has_region], device=self.device)  # pyright: ignore[reportArgumentType]

    @cached_property
    def eval_dataloader(self) -> RandIndicesEvalDataloader:
        """A random held-out image at a time."""
        return RandIndicesEvalDataloader(self.eval_dataset, device=self.device)

    @cached_property
    def train_crops(self) -> CropCache:
        """What training draws from; exporters, which draw training rays after training, get those of one frame only,
        or all poses would be mixed."""
        if self.test_mode == "val":
            return self._crops(self.train_dataset, "train")
        frames = self.train_dataset.cameras.metadata["frame_index"][:, 0]
        return self._crops(self.train_dataset, "first-frame", torch.nonzero(frames == frames.min())[:, 0].tolist())

    def next_train(self, step: int) -> Tuple[RayBundle, RayBatch]:
        self.train_count += 1
        self.train_pixel_sampler.step = step
        with _faults_said():
            return self._batch(self.train_pixel_sampler, self.train_crops, self._train_cameras)

    def next_eval(self, step: int) -> Tuple[RayBundle, RayBatch]:
        self.eval_count += 1
        with _faults_said():
            return self._batch(self.eval_pixel_sampler, self.eval_dataset.crops, self._eval_cameras)  # pyright: ignore[reportArgumentType]

    def next_eval_image(self, step: int) -> Tuple[Cameras, ImageBatch]:
        """A random held-out image that shows the hand, with an `ImageBatch`."""
        return self.eval_dataloader.get_camera(int(self.eval_pixel_sampler.generator.choice(self._eval_seen)))  # pyright: ignore[reportReturnType]

    def _crops(self, dataset: TrainingImages, name: str, indices: Optional[List[int]] = None) -> CropCache:
        margin = -(-self.config.pixel_sampler.patch_size // 2)
        return load_or_build_crops(dataset, name, margin=margin, indices=indices)

    def _sampler(self, config: HandPixelSamplerConfig, num_rays: int) -> HandPixelSampler:
        sampler = config.setup(num_rays_per_batch=num_rays)
        # nerfstudio seeds each process with the machine's seed and its rank.
        sampler.generator = np.random.default_rng([torch.initial_seed() % 2**63, self.local_rank])
        return sampler

    def _batch(self, sampler: HandPixelSampler, crops: CropCache, cameras: Cameras) -> Tuple[RayBundle, RayBatch]:
        batch = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in sampler.sample(crops).items()}
        # nerfstudio's ray generator looks through all cameras at every batch; these are a few of many.
        images, camera = batch["indices"][:, 0].unique(return_inverse=True)  # pyright: ignore[reportIndexIssue]
        rays = cameras[images].generate_rays(camera_indices=camera[:, None], coords=batch["indices"][:, 1:] + 0.5)  # pyright: ignore[reportIndexIssue]
        return rays.reshape(batch["grid"]), batch  # pyright: ignore[reportArgumentType, reportReturnType]


@contextmanager
def _faults_said() -> Iterator[None]:
    try:
        yield
    except HandsError as error:
        raise SystemExit(f"error: {error}") from error


@contextmanager
def _one_after_the_other(capture: Path, world_size: int) -> Iterator[None]:
    """Of several processes the first one fits and cuts, the others find what it has kept."""
    if world_size == 1:
        yield
        return
    name = hashlib.sha256(str(capture.resolve()).encode()).hexdigest()[:16]
    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / f"{name}.lock"):
        yield
