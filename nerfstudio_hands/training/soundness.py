"""What can be said against a training before it begins."""

from __future__ import annotations

from pathlib import Path

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.engine.trainer import TrainerConfig

from nerfstudio_hands.captures.layouts import find_layout
from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import require_working_folder
from nerfstudio_hands.program.option_range import check_ranges


def require_sound(config: TrainerConfig) -> None:
    """See that a training can begin, as far as its configuration, its folders and its devices tell.

    Raises:
        HandsError: The working folder is gone, a number is out of its range, the machine has no such device, the data
            parser is of another kind, there is no capture, or the run would lie in it.
    """
    require_working_folder()
    check_ranges(config)
    _require_device(config.machine)
    data = config.pipeline.datamanager
    _require_hands(data.dataparser)  # pyright: ignore[reportAttributeAccessIssue]
    capture = Path(data.data or data.dataparser.data).expanduser()  # pyright: ignore[reportAttributeAccessIssue]
    find_layout(capture, data.dataparser.layout)  # pyright: ignore[reportAttributeAccessIssue]
    if config.output_dir.expanduser().resolve().is_relative_to(capture.resolve()):
        raise HandsError(
            f"{config.output_dir}: expected an output folder outside of the capture, found one inside {capture}: give "
            "another --output-dir."
        )


def _require_hands(dataparser: DataParserConfig) -> None:
    if not isinstance(dataparser, HandsDataParserConfig):
        raise HandsError(
            f"{type(dataparser).__name__}: expected a data parser of hands, found one that fits none: train with "
            "hands-data, capture-room-data or interhand-data."
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
        )
