"""Same pictures, same masks, same wall-clock, same machine: nerfacto (torch implementation) beside `hand-uvnerf`.

Prints rays per second in training, and PSNR, SSIM and LPIPS inside the hand region on cameras that neither has seen.
nerfacto gets pictures with everything but the hand blackened, draws half of its rays from the hand and half from the
rest of the frame, and leaves out the pixels that take no part in our loss either. Its own colour, after the same
robust gain and bias, is the last column.

    python benchmarks/vs_nerfacto.py --data ../shared/captures/fmhr-demo/1 --eval-cameras 03 10 --minutes 10
"""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Tuple, Type

import torch
import torchmetrics.image.lpip
import tyro
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.nerfacto import NerfactoModelConfig
from rich.console import Console
from rich.table import Table

from nerfstudio_hands.datamanagers.hand_dataset import HandDataset
from nerfstudio_hands.evaluation.hand_region import BACKGROUND, HAND
from nerfstudio_hands.evaluation.metrics import hand_metrics
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf

COLUMNS = ("hand_psnr", "hand_ssim", "hand_lpips", "hand_psnr_calibrated", "hand_lpips_calibrated")


class BlackenedDataset(HandDataset):
    """Training pictures of the hand on black."""

    def get_metadata(self, data: dict) -> dict:
        metadata = super().get_metadata(data)
        data["image"] = data["image"] * (metadata["hand_label"] == HAND)
        return metadata


class WholeFrameSampler(PixelSampler):
    """Half of the rays from the hand, half from background anywhere in the frame."""

    def sample(self, image_batch: dict) -> dict:
        if not hasattr(self, "_tables"):
            labels = image_batch["hand_label"][..., 0]
            self._tables = (torch.nonzero(labels == HAND), torch.nonzero(labels == BACKGROUND))
        picks = [table[torch.randint(len(table), (self.num_rays_per_batch // 2,))] for table in self._tables]
        row, y, x = torch.cat(picks).T
        return {
            "image": image_batch["image"][row, y, x],
            "indices": torch.stack([image_batch["image_idx"][row], y, x], dim=1),
        }


@dataclass
class WholeFrameSamplerConfig(PixelSamplerConfig):
    """Settings of :class:`WholeFrameSampler`."""

    _target: Type = field(default_factory=lambda: WholeFrameSampler)


class BlackenedDataManager(VanillaDataManager[BlackenedDataset]):
    """nerfstudio's data manager with blackened training pictures; its held-out pictures are ours."""

    def create_eval_dataset(self) -> HandDataset:
        return HandDataset(self.dataparser.get_dataparser_outputs(split="test"))


def our_config() -> TrainerConfig:
    """`hand-uvnerf` as it is registered."""
    return copy.deepcopy(hand_uvnerf.config)


def nerfacto_config() -> TrainerConfig:
    """nerfacto on torch, told of the scene's size, without the contraction and appearance codes that a masked rig has
    no use for."""
    # nerfacto builds an LPIPS network for its own evaluation, which would be fetched from the web; ours does for both.
    torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity = lambda **_: torch.nn.Identity()
    config = copy.deepcopy(method_configs["nerfacto"])
    ours = our_config()
    config.machine = ours.machine
    config.pipeline.datamanager = VanillaDataManagerConfig(
        _target=BlackenedDataManager,
        dataparser=ours.pipeline.datamanager.dataparser,
        train_num_rays_per_batch=ours.pipeline.datamanager.train_num_rays_per_batch,
        eval_num_rays_per_batch=ours.pipeline.datamanager.eval_num_rays_per_batch,
        pixel_sampler=WholeFrameSamplerConfig(),
    )
    config.pipeline.model = NerfactoModelConfig(
        implementation="torch",
        background_color="black",
        disable_scene_contraction=True,
        near_plane=0.2,
        far_plane=3.0,
        average_init_density=0.01,
        camera_optimizer=CameraOptimizerConfig(mode="off"),
        eval_num_rays_per_chunk=4096,
    )
    del config.optimizers["camera_opt"]
    return config


def train_and_measure(config: TrainerConfig, args: Benchmark) -> dict[str, float]:
    """Trains for the given time and evaluates the held-out cameras."""
    config.data = config.pipeline.datamanager.data = args.data
    config.pipeline.datamanager.dataparser.eval_cameras = args.eval_cameras
    config.vis = "tensorboard"
    config.output_dir = Path(mkdtemp())
    config.experiment_name, config.timestamp = "benchmark", "run"
    config.steps_per_save = config.steps_per_eval_batch = config.steps_per_eval_image = 10**9
    config.steps_per_eval_all_images = config.max_num_iterations = 10**9
    torch.manual_seed(0)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup(test_mode="test")
    timer = threading.Timer(args.minutes * 60, lambda: setattr(trainer, "stop_training", True))
    timer.daemon = True
    start = time.monotonic()
    timer.start()
    trainer.train()
    seconds = time.monotonic() - start
    trainer.pipeline.eval()
    rows = []
    for camera, batch in trainer.pipeline.datamanager.fixed_indices_eval_dataloader:
        outputs = trainer.pipeline.model.get_outputs_for_camera(camera)
        rows.append(
            hand_metrics(
                outputs["rgb"],
                outputs["accumulation"],
                batch["image"].to(outputs["rgb"].device),
                batch["hand_mask"][..., 0].bool(),
                batch["hand_region"][..., 0].bool(),
            )
        )
    figures = {key: sum(row[key] for row in rows) / len(rows) for key in COLUMNS if key in rows[0]}
    figures["rays_per_second"] = trainer.step * config.pipeline.datamanager.train_num_rays_per_batch / seconds
    return figures


@dataclass
class Benchmark:
    """Trains nerfacto and `hand-uvnerf` for the same time and compares them on cameras held out."""

    data: Path = Path("data/synthetic-hand/1")
    """Capture in a layout that we read."""
    eval_cameras: Tuple[str, ...] = ()
    """Cameras to hold out; by default every seventh."""
    minutes: float = 5.0
    """Training time of each, in minutes."""


def main(args: Benchmark) -> None:
    args.eval_cameras = args.eval_cameras or None
    ours = our_config()
    # The schedule must end with the time: the number of steps follows from the speed of a short run.
    probe = copy.deepcopy(ours)
    speed = train_and_measure(probe, Benchmark(args.data, args.eval_cameras, 0.4))["rays_per_second"]
    steps = int(speed * args.minutes * 60 / ours.pipeline.datamanager.train_num_rays_per_batch)
    for group in ours.optimizers.values():
        group["scheduler"].max_steps = steps
    results = {
        "nerfacto (torch)": train_and_measure(nerfacto_config(), args),
        "hand-uvnerf": train_and_measure(ours, args),
    }
    table = Table(
        title=f"{args.data}, {args.minutes:g} minutes each, held-out cameras {args.eval_cameras or 'every seventh'}"
    )
    table.add_column("method")
    for column in ("rays_per_second", *COLUMNS):
        table.add_column(column, justify="right")
    for name, figures in results.items():
        table.add_row(name, *(f"{figures.get(c, float('nan')):.3f}" for c in ("rays_per_second", *COLUMNS)))
    console = Console(width=140)
    console.print(table)
    ratio = results["hand-uvnerf"]["rays_per_second"] / results["nerfacto (torch)"]["rays_per_second"]
    console.print(f"Rays per second, hand-uvnerf over nerfacto: {ratio:.1f}")


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
