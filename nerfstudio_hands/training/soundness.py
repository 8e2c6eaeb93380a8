"""What can be said against a training before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.engine.trainer import TrainerConfig

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_reachable, require_working_folder
from nerfstudio_hands.program.gpu import unused_gpu
from nerfstudio_hands.program.option_range import check_ranges
from nerfstudio_hands.training.sound_pipeline import SoundPipelineConfig


def require_sound(config: TrainerConfig) -> str:
    """See that a training can begin, as far as its configuration, its folders and its devices tell.

    Returns:
        What is trained on, in words.

    Raises:
        HandsError: The working folder is gone, a number is out of its range, a path cannot be looked up, the machine
            has no such device, the data parser is of another kind, there is no capture, the run would lie in it, or
            half precision is asked for.
    """
    require_working_folder()
    check_ranges(config)
    pipeline = cast(SoundPipelineConfig, config.pipeline)
    named = [config.output_dir / str(config.experiment_name), Path(getattr(pipeline.source, "hand_model", ""))]
    require_reachable((config, named))
    _require_device(config.machine)
    if config.mixed_precision:
        raise HandsError(
            "--mixed-precision: expected False, found True: half precision moves hands by up to a millimeter, and "
            "torch refuses some losses in it; leave the option out."
        )
    data = pipeline.check_data()
    _require_outside(config.output_dir, pipeline.datamanager.data or pipeline.source.data or Path())
    return data


def _require_outside(output: Path, data: Path) -> None:
    # Where nothing is given, no folder is read.
    if data != Path() and output.expanduser().resolve().is_relative_to(data.expanduser().resolve()):
        raise HandsError(
            f"{output}: expected an output folder outside of the capture, found one inside {data}: give another "
            "--output-dir."
        )


def _require_device(machine: MachineConfig) -> None:
    kind, count = machine.device_type, machine.num_devices
    if kind not in ("cpu", "cuda"):
        raise HandsError(f"--machine.device-type: expected cpu or cuda, found {kind}: train on one of these.")
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if count > there:
        raise HandsError(
            f"--machine.device-type {kind}: expected {count} of them, found {there} on this machine: "
            + ("train with --machine.device-type cpu." if not there else f"give --machine.num-devices {there}.")
            + (f" {reason}" if not there and (reason := unused_gpu()) else "")
        )
