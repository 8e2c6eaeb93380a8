"""Forecasters in files, without pickles."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nerfstudio_hands.files.formatted_npz import read_formatted_npz
from nerfstudio_hands.files.network_file import layers_expected, weights_in, weights_of
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.simlpe import SimlpeConfig

FORMAT = "nerfstudio-hands forecaster 1"
"""Written into every file; the number changes when the layers do."""

SHIPPED = Path(__file__).parent / "assets" / "right_hand.npz"
"""The forecaster that comes with the package."""


def save_forecaster(path: Path, forecaster: Forecaster, *, learned_from: str) -> None:
    """Writes a forecaster; the file appears complete or not at all.

    Args:
        path: The file.
        forecaster: Trained.
        learned_from: What it saw, for people.

    Raises:
        HandsError: The folder cannot be written or the disk is full.
    """
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "config": np.array(json.dumps(asdict(forecaster.config))),
        "learned_from": np.array(learned_from),
        **weights_of(forecaster, half=False),
    }
    write_npz(path, arrays, expected="to write the forecaster", remedy="free some space or give another --output")


def load_forecaster(path: Path) -> Forecaster:
    """Reads a forecaster that `save_forecaster` wrote, ready to forecast, on the CPU.

    Raises:
        HandsError: It is no such file, or is broken.
    """
    remedy = "give a file of `ns-hands train-forecaster`"
    arrays = read_formatted_npz(path, FORMAT, what="a forecaster", remedy=remedy)
    with layers_expected(path, FORMAT, remedy):
        forecaster = Forecaster(_config(json.loads(str(arrays["config"]))))
        forecaster.load_state_dict(weights_in(arrays))
    return forecaster.eval()


@cache
def shipped_forecaster() -> Forecaster:
    """The forecaster that comes with the package: of right hands, and of left ones in the mirror."""
    return load_forecaster(SHIPPED)


def _config(values: dict[str, Any]) -> ForecasterConfig:
    values = dict(values)
    mixer, simlpe = MixerConfig(**values.pop("mixer")), SimlpeConfig(**values.pop("simlpe"))
    return ForecasterConfig(**values, mixer=mixer, simlpe=simlpe)
