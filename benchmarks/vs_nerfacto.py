"""Same pictures, same masks, same wall-clock, same machine: nerfacto (torch implementation) beside `hand-uvnerf`.

Prints rays per second in training, and the figures of `ns-eval` on cameras that neither has seen. One function judges
both: our model's own, on the same held-out pictures, regions and sizes.

nerfacto gets what favours it. Its pictures have everything but the hand blackened; half of its rays come from the hand
and half from the rest of the frame, without the pixels that take no part in our loss either; it knows the size of the
scene. Its settings are those that nerfstudio documents: the ones of nerfstudio's own script for objects on a plain
ground (scripts/benchmarking/launch_train_blender.sh: no contraction, uniform first samples, cameras as they are, no
distortion loss), and for pictures of unlike exposure nerfacto's default, one appearance code a picture in training and
their average for cameras that it has not seen. It trains once with our number of rays a batch and once with its own.

Both learning rates fall to their ends within the given minutes: a short training first tells how many steps these hold,
and nerfacto's other schedules (warm-up of the proposals, their annealing) keep their share of its 30,000 steps. What is
done before the first step (fit, crops, decoding all pictures) is in neither time.

    python benchmarks/vs_nerfacto.py --data ../shared/captures/fmhr-demo/1 --eval-cameras 03 10 --minutes 5
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Tuple, Type

import torch
import torchmetrics.image.lpip
import tyro
from captures import EvaluatedImages, cell, notes_on, present, title_of
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import Pipeline
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf

COLUMNS = (
    "steps", "planned_steps", "rays_per_second", "hand_psnr_calibrated", "hand_psnr", "hand_ssim",
    "hand_lpips_calibrated", "hand_lpips", "psnr", "mask_iou",
)  # fmt: skip
WARM_UP_MINUTES = 1.5
"""Length of the training that tells the speed; the second half of it counts: kernels are compiled in the first, and
nerfacto's first steps take twice as long as later ones."""
OURS = "hand-uvnerf"


class BlackenedDataset(EvaluationImages):
    """Training pictures of the hand on black."""

    def get_metadata(self, data: dict) -> dict:
        metadata = super().get_metadata(data)
        data["image"] = data["image"] * (metadata["hand_label"] == PixelLabel.HAND)
        return metadata


class WholeFrameSampler(PixelSampler):
    """Half of the rays from the hand, half from background anywhere in the frame."""

    def sample(self, image_batch: dict) -> dict:
        if not hasattr(self, "_tables"):
            labels = image_batch["hand_label"][..., 0]
            self._tables = (torch.nonzero(labels == PixelLabel.HAND), torch.nonzero(labels == PixelLabel.BACKGROUND))
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
    """nerfstudio's data manager with blackened training pictures."""


@dataclass
class Benchmark(Recorded):
    """Trains nerfacto and `hand-uvnerf` for the same time and compares them on cameras held out."""

    data: Path = Path("data/synthetic-hand/1")
    """Capture in a layout that we read."""
    eval_cameras: Tuple[str, ...] = ()
    """Cameras to hold out; by default every seventh."""
    eval_resolution: int = 1280
    """Longest side of held-out pictures. nerfacto draws 600 rays a second of one core: a picture of 1280x1024 in 37
    minutes."""
    minutes: float = 5.0
    """Training time of each, in minutes."""
    peer_rays: Tuple[int, ...] = (1024, 4096)
    """Rays a batch of nerfacto, which trains once with each."""


class Stopwatch:
    """Ends a training after some time, and notes when each of its steps ended."""

    def __init__(self, trainer: Trainer, minutes: float):
        self.trainer, self.iterate = trainer, trainer.train_iteration
        self.start = time.monotonic()
        self.end = self.start + 60 * minutes
        self.ends: list[float] = []
        trainer.train_iteration = self.train_iteration

    def train_iteration(self, step: int):
        result = self.iterate(step)
        self.ends.append(time.monotonic())
        self.trainer.stop_training = self.ends[-1] >= self.end
        return result

    def steps_in(self, minutes: float) -> int:
        """How many steps a training of that length will make, by the second half of this one."""
        later = [end for end in self.ends if end >= (self.start + self.end) / 2]
        if len(later) < 2:
            later = [self.start, *self.ends]
        return max(1, round(60 * minutes * (len(later) - 1) / (later[-1] - later[0])))


def our_config(args: Benchmark, steps: int) -> TrainerConfig:
    """`hand-uvnerf` as it is registered, its schedules for so many steps."""
    config = with_options(copy.deepcopy(hand_uvnerf.config), args)
    for group in config.optimizers.values():
        group["scheduler"].max_steps = steps
    return config


def nerfacto_config(args: Benchmark, steps: int, rays: int) -> TrainerConfig:
    """nerfacto with documented settings, told of the scene's size, its schedules for so many steps."""
    # nerfacto builds an LPIPS network for its own evaluation, which would be fetched from the web; ours judges both.
    torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity = lambda **_: torch.nn.Identity()
    config, ours = copy.deepcopy(method_configs["nerfacto"]), hand_uvnerf.config
    share = steps / config.max_num_iterations
    config.machine = copy.deepcopy(ours.machine)
    config.pipeline.datamanager = VanillaDataManagerConfig(
        _target=BlackenedDataManager,
        dataparser=copy.deepcopy(ours.pipeline.datamanager.dataparser),
        train_num_rays_per_batch=rays,
        eval_num_rays_per_batch=rays,
        pixel_sampler=WholeFrameSamplerConfig(),
    )
    default = NerfactoModelConfig()
    config.pipeline.model = NerfactoModelConfig(
        implementation="torch",
        background_color="black",
        disable_scene_contraction=True,
        proposal_initial_sampler="uniform",
        distortion_loss_mult=0.0,
        near_plane=0.2,
        far_plane=3.0,
        average_init_density=0.01,
        camera_optimizer=CameraOptimizerConfig(mode="off"),
        use_appearance_embedding=True,
        use_average_appearance_embedding=True,
        proposal_warmup=max(1, round(share * default.proposal_warmup)),
        proposal_weights_anneal_max_num_iters=max(1, round(share * default.proposal_weights_anneal_max_num_iters)),
        eval_num_rays_per_chunk=4096,
    )
    del config.optimizers["camera_opt"]
    for group in config.optimizers.values():
        group["scheduler"].max_steps = steps
    return with_options(config, args)


def with_options(config: TrainerConfig, args: Benchmark) -> TrainerConfig:
    """What both trainings have in common: data, cameras held out, nothing written or evaluated on the way."""
    config.data = config.pipeline.datamanager.data = args.data
    config.pipeline.datamanager.dataparser.eval_cameras = args.eval_cameras or None
    config.pipeline.datamanager.dataparser.eval_resolution = args.eval_resolution
    config.vis = "tensorboard"
    config.output_dir = Path(mkdtemp())
    config.experiment_name, config.timestamp = "benchmark", "run"
    config.steps_per_save = config.steps_per_eval_batch = config.steps_per_eval_image = 10**9
    config.steps_per_eval_all_images = config.max_num_iterations = 10**9
    return config


def train(config: TrainerConfig, minutes: float) -> tuple[Trainer, Stopwatch]:
    """Trains on all frames for the given time."""
    torch.manual_seed(0)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup(test_mode="val")
    watch = Stopwatch(trainer, minutes)
    trainer.train()
    return trainer, watch


@torch.no_grad()
def judged(judge: Pipeline, renderer: Model) -> dict[str, float]:
    """Mean figures of what a model renders, by the function, pictures and regions of the judge."""
    renderer.eval()
    rows = []
    for camera, batch in judge.datamanager.fixed_indices_eval_dataloader:
        outputs = renderer.get_outputs_for_camera(camera)
        # Our models' colour is not clamped before it is calibrated; nerfacto's has no more than what is shown.
        outputs = {"radiance": outputs["rgb"], "normals": torch.zeros_like(outputs["rgb"]), **outputs}
        rows.append(judge.model.get_image_metrics_and_images(outputs, batch)[0])
    keys = [key for key, value in rows[0].items() if isinstance(value, (int, float))]
    return {key: float(torch.tensor([row[key] for row in rows]).nanmean()) for key in keys}


def timed(config: TrainerConfig, watch: Stopwatch, planned: int) -> dict[str, float]:
    """What a training did in its time."""
    rays = len(watch.ends) * config.pipeline.datamanager.train_num_rays_per_batch
    return {
        "steps": len(watch.ends),
        "planned_steps": planned,
        "rays_per_second": rays / (watch.ends[-1] - watch.start),
    }


def main(args: Benchmark) -> None:
    def scaled(configure) -> tuple[TrainerConfig, int]:
        # The schedule must end with the time: the number of steps follows from the speed of a short training.
        planned = train(configure(10**9), WARM_UP_MINUTES)[1].steps_in(args.minutes)
        return configure(planned), planned

    config, planned = scaled(lambda steps: our_config(args, steps))
    trainer, watch = train(config, args.minutes)
    judge = trainer.pipeline
    judge.eval()
    results = {OURS: {**timed(config, watch, planned), **judged(judge, judge.model)}}
    for rays in args.peer_rays:
        config, planned = scaled(lambda steps, rays=rays: nerfacto_config(args, steps, rays))
        trainer, watch = train(config, args.minutes)
        found = {**timed(config, watch, planned), **judged(judge, trainer.pipeline.model)}
        results[f"nerfacto (torch), {rays} rays a batch"] = found

    columns = present(COLUMNS, results.values())
    table = Table(title=f"{title_of(args.data)}, {args.minutes:g} minutes each")
    table.add_column("method")
    for column in columns:
        table.add_column(column, justify="right")
    for name, figures in results.items():
        table.add_row(name, *(cell(column, figures.get(column)) for column in columns))
    fastest = max(found["rays_per_second"] for name, found in results.items() if name != OURS)
    frames = len(judge.datamanager.train_dataparser_outputs.metadata["hands"].frame_names)
    notes = [
        EvaluatedImages.of_pipeline(judge).sentence(args.eval_cameras),
        f"Rays per second, hand-uvnerf over nerfacto's faster row: {results[OURS]['rays_per_second'] / fastest:.1f}",
        *(["nerfacto knows no motion: of the capture's frames it learns an average."] if frames > 1 else []),
        *notes_on(args.data),
    ]
    record(__file__, args, [table], notes=notes, figures=results)


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
