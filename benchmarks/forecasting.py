"""How far are forecasts of hand poses off, and what does each part of the mixer contribute?

Synthetic: people of `ns-hands synthesize motion` who are in no training; every window of 10 frames in and 30 to come,
at 30 frames a second. Errors are taken *at* a time after the last given frame, between frames in a straight line.
Models learn 25 frames; the last five (to 1000 ms) follow from reading what they have said. All rows of a table learn
from the same people for the same number of batches; `shipped` is the forecaster of the package, which learned for
longer.

    python benchmarks/forecasting.py                               # trains every row: twenty minutes of one core
    python benchmarks/forecasting.py --human36m h3.6m/dataset      # Human3.6M's published text files, the user's own
    python benchmarks/forecasting.py --rows mixer simlpe --steps 200 --name quick
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import torch
import tyro
from recording import Recorded, record
from rich.progress import track
from rich.table import Table

from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.hand_model.joint_limits import joint_limits
from nerfstudio_hands.motion.forecasting import human36m
from nerfstudio_hands.motion.forecasting.baselines import ConstantVelocity, LastPose
from nerfstudio_hands.motion.forecasting.continuation import blended, continued_states
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig, Predictor
from nerfstudio_hands.motion.forecasting.metrics import (
    HORIZONS,
    best_of,
    joint_errors,
    mpjpe_at_horizons,
    pck_auc,
    speed_spectrum,
)
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.representations import Representation
from nerfstudio_hands.motion.forecasting.track_states import HandStates
from nerfstudio_hands.motion.forecasting.weights_file import shipped_forecaster
from nerfstudio_hands.motion.forecasting.windows import Recording, Windows
from nerfstudio_hands.synthesis.motion_tracks import motion_tracks
from nerfstudio_hands.synthesis.options import MotionOptions
from nerfstudio_hands.training.forecaster import ForecasterTrainer
from nerfstudio_hands.training.forecaster_data import read_recordings, recordings_of_track, split_recordings
from nerfstudio_hands.training.forecaster_options import ForecasterTraining

TEST = MotionOptions(subjects=1, test_subjects=6, seconds=40.0)
"""Made-up people; those of the split `test` are in no training, whatever its seed."""

BANDS = ((0.2, 1.0), (1.0, 3.0), (3.0, 15.0))
"""Hertz of the spectrum of speed."""

LONG, DRAWN, GAP = 300, 16, 15
"""Frames of a long roll-out, forecasts that the best is taken of, frames of a gap."""

MIXER = ForecasterConfig()
ROWS: dict[str, ForecasterConfig] = {
    "mixer": MIXER,
    "mixer, autoregressive": replace(MIXER, step=5),
    "without convolution along time": replace(MIXER, mixer=MixerConfig(mix_time=False)),
    "without convolution along the pose": replace(MIXER, mixer=MixerConfig(mix_pose=False)),
    "without squeeze-and-excitation": replace(MIXER, mixer=MixerConfig(squeeze=0)),
    "with harmonics": replace(MIXER, mixer=MixerConfig(harmonics=2)),
    "without matrices along time": replace(MIXER, mixer=MixerConfig(matrices=0)),
    "with batch normalization": replace(MIXER, mixer=MixerConfig(regularization="batchnorm")),
    "with dropout": replace(MIXER, mixer=MixerConfig(regularization="dropout")),
    "simlpe": replace(MIXER, network="simlpe"),
}


@dataclass
class ForecastingBenchmark(Recorded):
    """Trains forecasters and measures them on people whom they have not seen."""

    rows: tuple[str, ...] = tuple(ROWS)
    """Which of the rows to train."""
    steps: int = 1000
    """Batches that each row learns from."""
    batch: int = 32
    """Windows of a batch."""
    stride: int = 20
    """Frames from one measured window to the next."""
    human36m: Optional[Path] = None
    """Folder with Human3.6M's text files (S1 to S11): the protocol of papers, in place of made-up people."""


@dataclass
class Measured:
    """Windows to measure on.

    Attributes:
        past: What is read.
        future: What comes.
    """

    representation: Representation
    past: torch.Tensor
    future: torch.Tensor
    fps: float

    def joints(self, predictor: Predictor) -> torch.Tensor:
        said = predictor(self.past, self.future.shape[1])
        return self.representation.joints(said)

    @property
    def truth(self) -> torch.Tensor:
        return self.representation.joints(self.future)


def trained(config: ForecasterConfig, args: ForecastingBenchmark, learned: list[Recording]) -> Forecaster:
    """A row's forecaster."""
    options = ForecasterTraining(steps=args.steps, batch=args.batch, check_every=args.steps)
    trainer = ForecasterTrainer(config, options, *split_recordings(learned))
    return trainer.train(look=lambda check: None)


def test_recordings(config: ForecasterConfig) -> list[Recording]:
    tracks = [made.track for made in motion_tracks(TEST) if made.split == "test"]
    return [recording for made in tracks for recording in recordings_of_track(made, config, "default")]


def row_of(measured: Measured, joints: torch.Tensor) -> tuple[dict[float, float], dict[float, float], float, float]:
    truth = measured.truth
    relative = mpjpe_at_horizons(joints, truth, measured.fps, relative=True)
    absolute = mpjpe_at_horizons(joints, truth, measured.fps)
    errors = joint_errors(joints[:, :25], truth[:, :25])
    return relative, absolute, pck_auc(errors), 1000 * float(errors.mean())


def errors_table(title: str) -> Table:
    table = Table(title=title)
    horizons = [f"{horizon} ms" for horizon in HORIZONS]
    for column in ("row", "numbers", "minutes", *horizons, "PCK-AUC", "mean of 25 frames"):
        table.add_column(column, justify="left" if column == "row" else "right")
    return table


def synthetic(args: ForecastingBenchmark) -> None:
    recordings = test_recordings(MIXER)
    windows = Windows(recordings, MIXER.frames_in + 30, args.stride).all()
    measured = Measured(MIXER.representation, windows[:, :10], windows[:, 10:], 30.0)
    learned = read_recordings((), MIXER) if args.rows else []
    predictors: dict[str, Predictor] = {
        "last pose": LastPose(measured.representation),
        "constant velocity": ConstantVelocity(measured.representation),
    }
    figures: dict[str, dict[str, float]] = {}
    for name in track(args.rows, "Training", transient=True):
        begun = time.process_time()
        forecaster = trained(ROWS[name], args, learned)
        predictors[name] = forecaster.forecast
        size = sum(parameter.numel() for parameter in forecaster.parameters())
        figures[name] = {"parameters": size, "training_cpu_seconds": time.process_time() - begun}
    shipped = shipped_forecaster()
    predictors["shipped"] = shipped.forecast
    tables = [
        errors_table(f"SYNTHETIC: mean joint error in mm of {len(windows)} held-out windows, relative to the wrist"),
        errors_table("SYNTHETIC: the same with the path of the wrist"),
    ]
    for name, predictor in predictors.items():
        relative, absolute, auc, mean = row_of(measured, measured.joints(predictor))
        size, seconds = (figures.get(name, {}).get(key) for key in ("parameters", "training_cpu_seconds"))
        about = (f"{size:,.0f}" if size else "", f"{seconds / 60:.1f}" if seconds else "")
        for table, errors, last in (
            (tables[0], relative, ("", "")),
            (tables[1], absolute, (f"{auc:.3f}", f"{mean:.1f}")),
        ):
            table.add_row(name, *about, *(f"{value:.2f}" for value in errors.values()), *last)
        figures.setdefault(name, {}).update({f"relative_{key}": value for key, value in relative.items()})
        figures[name].update({f"absolute_{key}": value for key, value in absolute.items()})
    tables += [drawn_table(measured, shipped), long_table(shipped, recordings), gap_table(shipped, recordings)]
    notes = [
        "All of it is synthetic, from `ns-hands synthesize motion`: people who were not learned from, and gestures "
        "that were; hands are the built-in one.",
        f"Rows between the baselines and the shipped forecaster learned for {args.steps} batches of {args.batch} "
        "windows; minutes are those of one core.",
        "Ten seconds: the first 25 frames are the most probable ones, joints are cut off at their limits.",
    ]
    record(__file__, args, tables, notes=notes, figures=figures)


def drawn_table(measured: Measured, forecaster: Forecaster) -> Table:
    """The most probable forecast, a drawn one, and the best of several that are drawn."""
    generator = torch.Generator().manual_seed(0)
    count = measured.future.shape[1]
    with torch.no_grad():
        many = torch.stack(
            [
                measured.representation.joints(forecaster.forecast_drawn(measured.past, count, generator))
                for _ in range(DRAWN)
            ]
        )
    table = errors_table(
        "SYNTHETIC: the shipped forecaster's most probable forecast and drawn ones, with the wrist's path"
    )
    for name, joints in (
        ("most probable", measured.joints(forecaster.forecast)),
        ("one drawn", many[0]),
        (f"best of {DRAWN} drawn", best_of(many, measured.truth)),
    ):
        _, absolute, auc, mean = row_of(measured, joints)
        table.add_row(name, "", "", *(f"{value:.2f}" for value in absolute.values()), f"{auc:.3f}", f"{mean:.1f}")
    return table


def long_table(forecaster: Forecaster, recordings: list[Recording]) -> Table:
    """Ten seconds: does the hand keep moving as hands do, within its limits?"""
    windows = Windows(recordings, 10 + LONG, LONG // 2).all()
    generator, hand = torch.Generator().manual_seed(0), HandStates.of(default_hand("right"))

    def continued(draw: Optional[torch.Generator] = None) -> torch.Tensor:
        return torch.stack([continued_states(forecaster, hand, window[:10], LONG, draw) for window in windows])

    low, high = joint_limits(default_hand("right")).flatten(0, 1).unbind(-1)
    table = Table(title=f"SYNTHETIC: ten seconds from {len(windows)} held-out moments; joints relative to the wrist")
    hertz = [f"power {low:g} to {high:g} Hz" for low, high in BANDS]
    for column in ("", "speed, first second", "speed, last second", *hertz, "angles beyond limits"):
        table.add_column(column, justify="left" if not column else "right")
    for name, states in (
        ("truth", windows[:, 10:]),
        ("shipped, as `ns-hands forecast` draws it", continued(generator)),
        ("shipped, most probable all along", continued()),
    ):
        joints = forecaster.representation.joints(states)
        speed, power = speed_spectrum(joints - joints[..., :1, :], 30.0, BANDS)
        angles = states[..., :45]
        beyond = ((angles < low - 1e-3) | (angles > high + 1e-3)).float().mean()
        table.add_row(
            name, f"{1000 * speed[:30].mean():.0f} mm/s", f"{1000 * speed[-30:].mean():.0f} mm/s",
            *(f"{1e6 * value:.0f}" for value in power), f"{100 * float(beyond):.1f} %",
        )  # fmt: skip
    return table


def gap_table(forecaster: Forecaster, recordings: list[Recording]) -> Table:
    """A gap of half a second, filled from both ends."""
    windows = Windows(recordings, 20 + GAP, GAP).all()
    past, gap, after = windows[:, :10], windows[:, 10 : 10 + GAP], windows[:, 10 + GAP :]
    share = torch.arange(1, GAP + 1) / (GAP + 1)
    onwards = forecaster.forecast(past, GAP)
    backwards = forecaster.forecast(after.flip(1), GAP).flip(1)
    smooth = share**2 * (3 - 2 * share)
    rows = {
        "straight (slerp)": mixed(past[:, -1:].expand_as(gap), after[:, :1].expand_as(gap), share),
        "forecast from both ends": mixed(onwards, backwards, smooth),
    }
    table = Table(
        title=f"SYNTHETIC: {len(windows)} gaps of {GAP / 30:.1f} s, mean joint error in mm with the wrist's path"
    )
    for column in ("", "mean", "in the middle"):
        table.add_column(column, justify="left" if not column else "right")
    truth = forecaster.representation.joints(gap)
    for name, states in rows.items():
        errors = 1000 * joint_errors(forecaster.representation.joints(states), truth).mean(dim=(0, 2))
        table.add_row(name, f"{errors.mean():.2f}", f"{errors[GAP // 2]:.2f}")
    return table


def mixed(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    whole = blended(first.flatten(0, 1), second.flatten(0, 1), share.repeat(len(first)))
    return whole.unflatten(0, first.shape[:2])


def body(args: ForecastingBenchmark) -> None:
    """Human3.6M by its protocol."""
    assert args.human36m is not None
    base = ForecasterConfig(numbers="absolute", num_joints=22, fps=human36m.FPS)
    rows = {name: replace(ROWS[name], numbers="absolute", num_joints=22, fps=human36m.FPS) for name in args.rows}
    learned = human36m.recordings(args.human36m, human36m.TRAIN)
    kept = human36m.recordings(args.human36m, human36m.VALIDATION)
    windows = human36m.test_windows(args.human36m, base.frames_in, base.frames_out)
    predictors: dict[str, Callable] = {
        "last pose": LastPose(base.representation),
        "constant velocity": ConstantVelocity(base.representation),
    }
    for name, config in rows.items():
        options = ForecasterTraining(steps=args.steps, batch=args.batch, check_every=args.steps, scale=0.0)
        trainer = ForecasterTrainer(config, options, learned, kept)
        predictors[name] = trainer.train(look=lambda check: None).forecast
    table = Table(
        title="Human3.6M: MPJPE in mm at frames, 256 windows of each of 15 actions of S5, mean over 32 joints"
    )
    for column in ("row", *(f"{40 * frame} ms" for frame in human36m.HORIZON_FRAMES)):
        table.add_column(column, justify="left" if column == "row" else "right")
    for name, predictor in predictors.items():
        errors = []
        for action in windows.values():
            said = base.representation.joints(predictor(action[:, : base.frames_in], base.frames_out))
            truth = base.representation.joints(action[:, base.frames_in :])
            errors.append(human36m.errors_of_all_joints(said, truth).mean(dim=(0, 2)))
        mean = 1000 * torch.stack(errors).mean(dim=0)
        table.add_row(name, *(f"{mean[frame - 1]:.1f}" for frame in human36m.HORIZON_FRAMES))
    record(__file__, args, [table])


def main(args: ForecastingBenchmark) -> None:
    torch.manual_seed(0)
    synthetic(args) if args.human36m is None else body(args)


if __name__ == "__main__":
    main(tyro.cli(ForecastingBenchmark))
