"""Training of a forecaster: it learns, it resumes as if it had never stopped, and its data are told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.forecasting.baselines import ConstantVelocity, LastPose
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster, ForecasterConfig
from nerfstudio_hands.motion.forecasting.metrics import joint_errors, mpjpe_at_horizons
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.weights_file import shipped_forecaster
from nerfstudio_hands.motion.forecasting.windows import Recording, Windows
from nerfstudio_hands.motion.track_file import save_track
from nerfstudio_hands.synthesis.motion_tracks import motion_tracks
from nerfstudio_hands.synthesis.options import MotionOptions
from nerfstudio_hands.training.forecaster import ForecasterTrainer
from nerfstudio_hands.training.forecaster_data import read_recordings, recordings_of_track, split_recordings
from nerfstudio_hands.training.forecaster_options import ForecasterTraining

SMALL = ForecasterConfig(frames_out=10, step=10, mixer=MixerConfig(embedding=16, channels=2, blocks=1, pose_kernel=7))
FEW = ForecasterTraining(steps=12, batch=8, check_every=4)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    tracks = [made.track for made in motion_tracks(MotionOptions(subjects=1, test_subjects=1, seconds=8))]
    return [recording for track in tracks for recording in recordings_of_track(track, SMALL, "default")]


def trainer(recordings: list[Recording], config: ForecasterConfig = SMALL, options: ForecasterTraining = FEW):
    return ForecasterTrainer(config, options, recordings[:5], recordings[5:])


def quiet(_: object) -> None:
    pass


@pytest.mark.parametrize(
    "config",
    [SMALL, ForecasterConfig(frames_out=10, step=5, mixer=SMALL.mixer), ForecasterConfig(frames_out=10, step=10,
     futures=2, mixer=SMALL.mixer), ForecasterConfig(frames_out=10, step=10, network="simlpe")],
    ids=["direct", "autoregressive", "futures", "simlpe"],
)  # fmt: skip
def test_training_lowers_the_error_of_others(recordings: list[Recording], config: ForecasterConfig) -> None:
    begun = trainer(recordings, config, ForecasterTraining(steps=60, batch=16, check_every=60, velocity=0.5))
    before = begun.check()
    checks = []
    begun.train(look=checks.append)
    last = before.truth.new_zeros(before.truth.shape) + begun._checked[:, 9:10]
    joints = config.representation.joints
    still = 1000 * float(joint_errors(joints(last), joints(before.truth)).mean())
    assert checks[-1].step == 60 and checks[-1].error < min(before.error, 0.95 * still)


def test_a_resumed_training_is_that_which_never_stopped(recordings: list[Recording], tmp_path: Path) -> None:
    mixer = replace(SMALL.mixer, regularization="batchnorm")
    config = ForecasterConfig(frames_out=10, step=5, mixer=mixer)
    whole = trainer(recordings, config)
    whole.train(look=quiet)
    part = trainer(recordings, config)

    def stop(check) -> None:
        part.save(tmp_path / "t.training")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part.train(look=stop)
    again = trainer(recordings, config)
    again.resume(tmp_path / "t.training")
    assert again.step == 4
    again.train(look=quiet)
    for name, value in whole.forecaster.state_dict().items():
        torch.testing.assert_close(again.forecaster.state_dict()[name], value, msg=name)
    with pytest.raises(HandsError, match="of the same forecaster"):
        trainer(recordings).resume(tmp_path / "t.training")
    (tmp_path / "t.training").write_bytes(b"damaged")
    with pytest.raises(HandsError, match="damaged"):
        trainer(recordings).resume(tmp_path / "t.training")


def test_the_shipped_forecaster_beats_the_baselines_on_people_it_has_not_seen() -> None:
    """Under 0.9 times the better baseline from 160 ms on."""
    options = MotionOptions(subjects=1, test_subjects=2, seconds=20)
    tracks = [made.track for made in motion_tracks(options) if made.split == "test"]
    found = [recording for track in tracks for recording in recordings_of_track(track, ForecasterConfig(), "default")]
    windows = Windows(found, 40, stride=10).all()
    representation = ForecasterConfig().representation
    truth = representation.joints(windows[:, 10:])
    for relative in (True, False):
        errors = [
            mpjpe_at_horizons(representation.joints(predict(windows[:, :10], 30)), truth, 30.0, relative=relative)
            for predict in (
                shipped_forecaster().forecast, LastPose(representation), ConstantVelocity(representation)
            )
        ]  # fmt: skip
        for horizon in (160, 320, 400, 560, 1000):
            ours, *others = (error[horizon] for error in errors)
            assert ours < 0.9 * min(others), (relative, horizon)


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    for made in motion_tracks(MotionOptions(subjects=1, test_subjects=0, seconds=2)):
        save_track(tmp_path / "tracks" / f"{made.track.name}.npz", made.track)
    angles = read_recordings([tmp_path / "tracks"], SMALL)
    assert len(angles) == 5 and angles[0].states.shape == (60, 57)
    slower = read_recordings([tmp_path / "tracks"], ForecasterConfig(fps=10.0))
    torch.testing.assert_close(slower[0].states, angles[0].states[::3], atol=1e-4, rtol=0)
    relative = ForecasterConfig(numbers="relative")
    joints = read_recordings([tmp_path / "tracks" / "signing-00-0.npz"], relative)
    assert joints[0].states.shape == (60, 63) and joints[0].states[:, :3].abs().max() == 0

    # The same joints from a file of joints.
    posed = SMALL.representation.joints(angles[-1].states).numpy()
    np.savez(tmp_path / "joints.npz", joints=posed, fps=30.0, side="right")
    again = read_recordings([tmp_path / "joints.npz"], relative)
    torch.testing.assert_close(again[0].states, joints[0].states, atol=1e-5, rtol=0)
    with pytest.raises(HandsError, match="give --numbers relative"):
        read_recordings([tmp_path / "joints.npz"], SMALL)
    with pytest.raises(HandsError, match="give --fps 30"):
        read_recordings([tmp_path / "joints.npz"], ForecasterConfig(numbers="relative", fps=25.0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(HandsError, match="found none: give another --data"):
        read_recordings([tmp_path / "empty"], SMALL)


def test_what_is_looked_at_is_not_learned_from(recordings: list[Recording]) -> None:
    learned, kept = split_recordings(recordings)
    assert len(learned) == 9 and len(kept) == 1 and not {id(r) for r in learned} & {id(r) for r in kept}
    (first,), (rest,) = split_recordings(recordings[:1])
    assert len(first.states) + len(rest.states) == len(recordings[0].states)


def test_windows_of_what_does_not_fit_are_refused(recordings: list[Recording]) -> None:
    broken = Recording("broken", recordings[0].states.clone(), 30.0)
    broken.states[5, 3] = torch.nan
    other = Recording("other", recordings[0].states, 25.0)
    short = Recording("short", recordings[0].states[:8], 30.0)
    for given, words in (
        ([broken], "broken: expected finite numbers, found NaN"),
        ([recordings[0], other], "at 30 frames a second, as .* has, found 57 at 25"),
        ([short], "expected one of at least 20 frames, found 1, the longest of 8"),
    ):
        with pytest.raises(HandsError, match=words):
            Windows(given, 20)
    # No window reaches from one recording into the next.
    windows = Windows([short, recordings[0], recordings[1]], 20)
    assert len(windows) == 2 * (240 - 19)
    assert torch.equal(windows[torch.tensor([221])][0], recordings[1].states[:20])


def test_a_loss_that_is_not_finite_is_said(recordings: list[Recording]) -> None:
    with pytest.raises(HandsError, match="lower --learning-rate"):
        wild = trainer(recordings)
        wild.forecaster.network.decoder.weight.data.fill_(torch.inf)
        wild.train(look=quiet)


def test_a_forecaster_for_people_of_any_size_learns_from_scaled_joints(recordings: list[Recording]) -> None:
    numbers = ForecasterConfig(numbers="relative", frames_out=10, step=10, mixer=SMALL.mixer)
    joints = SMALL.representation.joints
    states = [Recording(r.name, numbers.representation.states(joints(r.states)), r.fps) for r in recordings]
    begun = ForecasterTrainer(numbers, FEW, states[:5], states[5:])
    drawn = begun._augmented(torch.ones(64, 20, 63))
    assert 0.84 < drawn.min() < 0.95 < 1.05 < drawn.max() < 1.16 and (drawn == drawn[:, :1, :1]).all()
    assert isinstance(begun.train(look=quiet), Forecaster)
