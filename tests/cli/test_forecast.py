"""`ns-hands forecast`, `train-forecaster` and `synthesize motion`, from a track to a video of an avatar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.utils.eval_utils import eval_setup

from nerfstudio_hands.cli import trained_run
from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.cli.forecast import forecast
from nerfstudio_hands.cli.synthesize import Motion
from nerfstudio_hands.cli.train_forecaster import train_forecaster
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.motion.forecasting.mixer_config import MixerConfig
from nerfstudio_hands.motion.forecasting.weights_file import load_forecaster
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import read_track, save_track
from nerfstudio_hands.training.forecaster_options import ForecasterTraining


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion") / "tracks"
    Motion(output=folder, subjects=1, test_subjects=1, seconds=3.0, hand="both").run()
    return folder


@pytest.fixture
def one_hand(tracks: Path, tmp_path: Path) -> Path:
    track = read_track(tracks / "test" / "grasping-00-0.npz")
    save_track(tmp_path / "right.npz", PoseTrack(("right",), track.pose[:, 1:], track.times, "right"))
    return tmp_path / "right.npz"


def test_a_forecast_is_played_by_an_avatar(
    tiny_run: Path, one_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast(one_hand, tmp_path / "longer.npz", frames=30)
    before, longer = read_track(one_hand), read_track(tmp_path / "longer.npz")
    assert longer.num_keys == before.num_keys + 30 and longer.duration == pytest.approx(before.duration + 1, abs=1e-3)
    assert torch.equal(longer.pose.local_rotations[: before.num_keys], before.pose.local_rotations)
    config, pipeline, _, _ = eval_setup(tiny_run, test_mode="inference")
    monkeypatch.setattr(trained_run, "load_run", lambda path, data=None, **_: (config, pipeline))
    shown = []
    hands = pipeline.model.hands
    monkeypatch.setattr(hands, "set_override", lambda pose, own=hands.set_override: (shown.append(pose), own(pose)))
    animate(tiny_run, tmp_path / "v.mp4", track=tmp_path / "longer.npz", in_place=True, fps=2, seconds=4, size=32)
    assert (tmp_path / "v.mp4").stat().st_size > 0 and len(shown) == 8
    # The last pictures show poses that nobody has recorded.
    right = hands.surface.sides.index("right")
    last = shown[-1].local_rotations[0, right].cpu()
    torch.testing.assert_close(last, longer.at(torch.tensor([3.5])).local_rotations[0, 0], atol=1e-4, rtol=0)


def test_a_gap_is_filled_and_two_hands_want_a_word(tracks: Path, one_hand: Path, tmp_path: Path) -> None:
    both = tracks / "test" / "grasping-00-0.npz"
    with pytest.raises(
        HandsError, match="expected one hand, as the forecaster has learned, found two: give --hand left"
    ):
        forecast(both, tmp_path / "a.npz")
    forecast(both, tmp_path / "each.npz", hand="each", frames=5)
    forecast(both, tmp_path / "left.npz", hand="left", frames=5)
    each, left = read_track(tmp_path / "each.npz"), read_track(tmp_path / "left.npz")
    assert each.sides == ("left", "right") and left.sides == ("left",)
    torch.testing.assert_close(each.pose.local_rotations[:, 0], left.pose.local_rotations[:, 0])
    track = read_track(one_hand)
    track.pose.valid[40:52] = False
    save_track(tmp_path / "holed.npz", track)
    forecast(tmp_path / "holed.npz", tmp_path / "filled.npz", frames=0, fill_gaps=True)
    filled = read_track(tmp_path / "filled.npz")
    assert filled.pose.valid.all() and filled.num_keys == track.num_keys


def test_what_is_wrong_is_said_at_once(one_hand: Path, tmp_path: Path) -> None:
    for options, words in (
        ({"frames": 0}, "expected at least one frame or --fill-gaps"),
        ({"frames": -1}, "--frames"),
        ({"output": one_hand}, "found one that is there already"),
        ({"output": tmp_path / "a.mp4"}, "ends in .npz"),
        ({"checkpoint": tmp_path / "no.npz"}, "expected a forecaster, found no such file"),
        ({"checkpoint": one_hand}, "expected the format"),
        ({"track": tmp_path / "no.npz"}, "expected a pose track, found nothing"),
        ({"hand": "left"}, "expected poses of the left hand|expected the left hand"),
    ):
        with pytest.raises(HandsError, match=words):
            forecast(**{"track": one_hand, "output": tmp_path / "new.npz", **options})
    assert not (tmp_path / "new.npz").exists()


def test_a_forecaster_is_trained_on_tracks_and_used(tracks: Path, one_hand: Path, tmp_path: Path) -> None:
    options = ForecasterTraining(steps=3, batch=4, check_every=2)
    trained = tmp_path / "own" / "f.npz"
    layers = MixerConfig(blocks=1, harmonics=1)
    train_forecaster(trained, data=(tracks / "train",), frames_out=5, options=options, mixer=layers)
    assert load_forecaster(trained).config.mixer == layers
    assert sorted(path.name for path in trained.parent.iterdir()) == ["f.npz", "f.png"]
    forecast(one_hand, tmp_path / "longer.npz", frames=12, checkpoint=trained)
    assert read_track(tmp_path / "longer.npz").num_keys == 102
    for arguments, words in (
        ((trained, {}), "found one that is there already"),
        ((tmp_path / "g.npz", {"resume": True}), "expected a training there, found none"),
        ((tmp_path / "g.npz", {"data": (tmp_path / "no",)}), "expected pose tracks, found nothing"),
        ((tmp_path / "g.npz", {"options": ForecasterTraining(batch=0)}), "--batch"),
        ((tmp_path / "g.npz", {"mixer": MixerConfig(blocks=0)}), r"--mixer\.blocks"),
    ):
        with pytest.raises(HandsError, match=words):
            train_forecaster(arguments[0], **arguments[1])


def test_a_stopped_training_goes_on(tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {
        "data": (tracks / "train",),
        "frames_out": 5,
        "options": ForecasterTraining(steps=4, batch=4, check_every=2),
    }
    from nerfstudio_hands.video import forecast_image as sheet

    draw = sheet.forecast_image

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sheet, "forecast_image", stop)
    with pytest.raises(KeyboardInterrupt):
        train_forecaster(tmp_path / "a.npz", **data)
    monkeypatch.setattr(sheet, "forecast_image", draw)
    with pytest.raises(HandsError, match="give --resume"):
        train_forecaster(tmp_path / "a.npz", **data)
    train_forecaster(tmp_path / "a.npz", **data, resume=True)
    train_forecaster(tmp_path / "b.npz", **data)
    with np.load(tmp_path / "a.npz") as ours, np.load(tmp_path / "b.npz") as theirs:
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
