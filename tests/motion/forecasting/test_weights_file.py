"""Forecasters in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_motion import swinging

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.track_states import recordings_of
from nerfstudio_hands.motion.forecasting.weights_file import (
    SHIPPED,
    load_forecaster,
    save_forecaster,
    shipped_forecaster,
)


def test_a_forecaster_comes_back_as_it_was(tmp_path: Path) -> None:
    config = ForecasterConfig(
        futures=3, mixer=MixerConfig(embedding=16, channels=2, blocks=1, regularization="batchnorm")
    )
    forecaster = Forecaster(config)
    for value in forecaster.state_dict().values():
        if value.is_floating_point():
            value += 0.1 * torch.rand(value.shape)
    save_forecaster(tmp_path / "f.npz", forecaster, learned_from="nothing")
    loaded = load_forecaster(tmp_path / "f.npz")
    assert loaded.config == config and not loaded.training
    (recording,) = recordings_of(swinging(), [default_hand("right")], 30.0)
    past = recording.states[None, :10]
    assert torch.equal(loaded.forecast(past, 30), forecaster.eval().forecast(past, 30))


def test_the_shipped_one_is_small_and_draws() -> None:
    assert SHIPPED.stat().st_size < 2_000_000
    config = shipped_forecaster().config
    assert (config.fps, config.frames_in, config.frames_out, config.numbers) == (30, 10, 25, "angles")
    assert config.futures > 0


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    for content, words in (
        (b"no archive", "expected a forecaster"),
        ({"format": "nerfstudio-hands pose track 1"}, "expected the format"),
        ({"format": "nerfstudio-hands forecaster 1", "config": "[]"}, "expected the layers"),
        ({"format": "nerfstudio-hands forecaster 1", "config": '{"mixer": {}, "simlpe": {}}'}, "expected the layers"),
        ({"format": np.array([{}], dtype=object)}, "expected a forecaster"),
    ):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, **content)
        with pytest.raises(HandsError, match=words):
            load_forecaster(path)
