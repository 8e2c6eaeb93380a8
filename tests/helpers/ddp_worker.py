"""One of two training processes, on the CPU: what `ns-train --machine.num-devices 2` starts, but for what it asserts of
graphics cards."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from nerfstudio.pipelines import base_pipeline
from nerfstudio.utils import comms
from torch.nn.parallel import DistributedDataParallel

from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManager
from nerfstudio_hands.method_configs.hand_uvnerf import hand_uvnerf


class OnProcessor(DistributedDataParallel):
    """Parallel training on no graphics card."""

    def __init__(self, model, device_ids, **options):
        super().__init__(model, **options)


def train_beside_another(rank: int, capture: Path, folder: Path) -> None:
    """Trains in a folder that both share; `rank0.npz` and `rank1.npz` there are what each learned and drew."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", world_size=2, rank=rank)
    comms.LOCAL_PROCESS_GROUP = dist.new_group([0, 1])
    # nerfstudio names a graphics card in both calls, which gloo refuses.
    barrier = dist.barrier
    base_pipeline.DDP = OnProcessor
    dist.barrier = lambda device_ids=None: barrier()
    drawn, seen = HandDataManager.next_train, []

    def watched(self, step: int):
        rays, batch = drawn(self, step)
        seen.append(batch["indices"])
        return rays, batch

    HandDataManager.next_train = watched
    config = copy.deepcopy(hand_uvnerf.config)
    config.data = config.pipeline.datamanager.data = capture
    config.output_dir, config.timestamp, config.experiment_name = folder, "run", "two"
    config.vis, config.max_num_iterations, config.machine.device_type = "tensorboard", 4, "cpu"
    config.pipeline.datamanager.train_num_rays_per_batch = 128
    config.pipeline.datamanager.dataparser.resolution_scale = 0.25
    config.pipeline.model.uv_resolutions = (16,)
    # As nerfstudio.scripts.train.train_loop, whose module takes seconds to import.
    torch.manual_seed(config.machine.seed + rank)
    trainer = config.setup(local_rank=rank, world_size=2)
    trainer.setup()
    trainer.train()
    parameters = torch.cat([value.detach().flatten() for value in trainer.pipeline.model.parameters()])
    np.savez(folder / f"rank{rank}.npz", parameters=parameters, indices=torch.stack(seen))
    dist.destroy_process_group()

