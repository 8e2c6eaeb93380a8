"""One of two training processes, on the CPU: what `ns-train --machine.num-devices 2` starts, but for what it asserts of
graphics cards."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from nerfstudio.data.datamanagers.base_datamanager import DataManager
from nerfstudio.pipelines import base_pipeline
from nerfstudio.utils import comms
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManager
from nerfstudio_hands.datamanagers.hand_image_datamanager import HandImageDataManager
from nerfstudio_hands.method_configs.hand_monocular import hand_monocular
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf
from nerfstudio_hands.training.trainer import HandTrainerConfig


class OnProcessor(DistributedDataParallel):
    """Parallel training on no graphics card."""

    def __init__(self, model, device_ids, **options):
        super().__init__(model, **options)


def train_beside_another(rank: int, capture: Path, folder: Path) -> None:
    """Trains on rays, then on pictures, in a folder that both share; `rank0.npz` and `rank1.npz` there are what each
    learned and drew."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", world_size=2, rank=rank)
    comms.LOCAL_PROCESS_GROUP = dist.new_group([0, 1])
    # nerfstudio names a graphics card in both calls, which gloo refuses.
    barrier = dist.barrier
    base_pipeline.DDP = OnProcessor
    dist.barrier = lambda device_ids=None: barrier()

    rays = copy.deepcopy(hand_uvnerf.config)
    rays.data = rays.pipeline.datamanager.data = capture
    rays.pipeline.datamanager.train_num_rays_per_batch = 128
    rays.pipeline.datamanager.dataparser.resolution_scale = 0.25
    rays.pipeline.model.uv_resolutions = (16,)
    pictures = copy.deepcopy(hand_monocular.config)
    data = pictures.pipeline.datamanager
    data.batch_size, data.crops_per_image, data.workers, data.size = 2, 1, 0, 64
    data.dataparser = replace(data.dataparser, drawn=16, drawn_size=48, drawn_people=1, max_eval_images=1)

    learned, indices = trained(rank, rays, folder, HandDataManager, lambda batch: batch["indices"])
    of_pictures, rows = trained(rank, pictures, folder, HandImageDataManager, lambda batch: batch["row"])
    np.savez(folder / f"rank{rank}.npz", parameters=learned, indices=indices, of_pictures=of_pictures, rows=rows)
    dist.destroy_process_group()


def trained(
    rank: int, config: HandTrainerConfig, folder: Path, manager: type[DataManager], which: Callable[[Any], Tensor]
) -> tuple[Tensor, Tensor]:
    """All parameters after four steps, and what is asked of the batch of each."""
    seen = []

    def watched(self, step: int):
        cameras, batch = drawn(self, step)
        seen.append(which(batch))
        return cameras, batch

    drawn, manager.next_train = manager.next_train, watched
    config.output_dir, config.timestamp, config.experiment_name = folder, "run", "two"
    config.vis, config.max_num_iterations, config.machine.device_type = "tensorboard", 4, "cpu"
    # As nerfstudio.scripts.train.train_loop, whose module takes seconds to import.
    torch.manual_seed(config.machine.seed + rank)
    trainer = config.setup(local_rank=rank, world_size=2)
    trainer.setup()
    trainer.train()
    return torch.cat([value.detach().flatten() for value in trainer.pipeline.model.parameters()]), torch.stack(seen)
