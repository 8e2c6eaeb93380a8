from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pose_tracks import assert_same, made_up_track

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import SIDES, default_hand
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import read_mano_json, read_track, save_track


@pytest.mark.parametrize("sides", [("left",), ("right",), SIDES])
def test_round_trip(tmp_path: Path, sides: tuple[str, ...]) -> None:
    track = made_up_track(sides=sides)
    track.pose.valid[1, 0] = False
    save_track(tmp_path / "new" / "wave.npz", track)
    read = read_track(tmp_path / "new" / "wave.npz")
    assert (read.sides, read.name) == (sides, "made up")
    torch.testing.assert_close(read.times, track.times)
    assert_same(read.pose, track.pose)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["wave.npz"]


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "wave.npz"
    path.write_bytes(b"mine")
    with pytest.raises(HandsError, match=r"wave.npz: expected a new file .* choose another name"):
        save_track(path, made_up_track())
    assert path.read_bytes() == b"mine"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HandsError, match=r"expected a place to write the pose track"):
        save_track(tmp_path / "file" / "wave.npz", made_up_track())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "nerfstudio-hands pose track 9"}, "expected the format .* found 'nerfstudio-hands pose track 9'"),
        ({"times": None}, "it lacks times"),
        ({"times": np.array(list("0123"))}, "times in seconds that begin at 0 and increase"),
        ({"sides": np.array(["right", "left"])}, r"its hands are \('right', 'left'\) instead"),
        ({"times": np.arange(3.0)}, r"expected global_orient .* for 3 time\(s\) and 2 hand\(s\), found .*\(4, 2, 3\)"),
        ({"local_rotations": np.zeros((4, 2, 16, 3))}, r"expected local_rotations .*\(4, 2, 15, 3\) .*\(4, 2, 16, 3\)"),
        ({"translation": np.full((4, 2, 3), "1.0")}, r"expected translation as numbers"),
        ({"times": np.array([0.0, 2.0, 1.0, 3.0])}, "times in seconds that begin at 0 and increase"),
        ({"times": np.array([0.0, 1.0, np.nan, 3.0])}, "times in seconds that begin at 0 and increase"),
        ({"times": np.arange(1.0, 5.0)}, "times in seconds that begin at 0 and increase"),
        ({"times": np.empty(0)}, r"for 0 time\(s\)"),
        ({"translation": np.array([None] * 24, dtype=object).reshape(4, 2, 3)}, "expected a pose track"),
    ],
)
def test_bad_tracks_are_named(tmp_path: Path, changes: dict, sentence: str) -> None:
    save_track(tmp_path / "good.npz", made_up_track())
    with np.load(tmp_path / "good.npz") as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(tmp_path / "bad.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(HandsError, match=sentence) as raised:
        read_track(tmp_path / "bad.npz")
    assert str(raised.value).startswith(str(tmp_path / "bad.npz")) and "\n" not in str(raised.value)


def test_nan_is_named_with_its_place(tmp_path: Path) -> None:
    track = made_up_track()
    track.pose.local_rotations[2, 1, 7, 0] = torch.nan
    save_track(tmp_path / "nan.npz", track)
    with pytest.raises(HandsError, match="infinity or more than 10000 in local_rotations of the right hand at key 2"):
        read_track(tmp_path / "nan.npz")


def test_what_is_no_track_is_refused_and_never_run(tmp_path: Path) -> None:
    with pytest.raises(HandsError, match=r"none.npz: expected a pose track, found no such file"):
        read_track(tmp_path / "none.npz")
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "text.npz").write_text("a track, honestly")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(3))
    save_track(tmp_path / "good.npz", made_up_track())
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("pickle.npz", "text.npz", "empty.npz", "array.npy", "cut.npz"):
        with pytest.raises(HandsError, match=rf"{name}: expected a pose track \(.npz\), found something else"):
            read_track(tmp_path / name)
    assert not mark.exists()


# MANO JSON -----------------------------------------------------------------------------------------------------------


def annotation(track: PoseTrack, key: int, hand: int) -> dict:
    pose = torch.cat([track.pose.global_orient[key, hand], track.pose.local_rotations[key, hand].flatten()])
    return {"pose": pose.tolist(), "shape": [0.0] * 10, "trans": track.pose.translation[key, hand].tolist()}


def annotations(track: PoseTrack) -> dict:
    """What InterHand2.6M would write of a track, at 30 frames a second."""
    return {
        str(500 + 3 * key): {
            side: annotation(track, key, hand) if track.pose.valid[key, hand] else None
            for hand, side in enumerate(track.sides)
        }
        for key in range(track.num_keys)
    }


@pytest.fixture
def hands():
    hands = [default_hand(side) for side in SIDES]
    for hand, bend in zip(hands, (0.2, 0.4), strict=True):
        hand.hands_mean[:] = bend
    return hands


def write(path: Path, entries: object) -> Path:
    path.write_text(json.dumps(entries))
    return path


def test_mano_json_is_read_with_the_mean_pose_added(tmp_path: Path, hands) -> None:
    track = made_up_track()
    track.pose.valid[2, 0] = False
    whole = write(tmp_path / "whole.json", {"0": annotations(track)})
    one = write(tmp_path / "one.json", annotations(track))
    for path in (whole, one):
        read = read_mano_json(path, hands)
        assert read.sides == SIDES and read.times.tolist() == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30])
        assert read.pose.valid.tolist() == track.pose.valid.tolist()
        seen = track.pose.valid
        torch.testing.assert_close(read.pose.global_orient[seen], track.pose.global_orient[seen])
        torch.testing.assert_close(read.pose.translation[seen], track.pose.translation[seen])
        bent = read.pose.local_rotations - track.pose.local_rotations
        assert bent[:, 0][seen[:, 0]].mean() == pytest.approx(0.2) and bent[:, 1].mean() == pytest.approx(0.4)
        assert bent[seen].std(dim=(1, 2)).max() < 1e-5


@pytest.mark.parametrize(("step", "seconds"), [(18, 1 / 5), (3, 1 / 30), (6, 1 / 5), (1, 1 / 30)])
def test_the_usual_step_of_the_numbers_tells_the_rate(tmp_path: Path, hands, step: int, seconds: float) -> None:
    track = made_up_track()
    entries = {str(500 + (int(n) - 500) // 3 * step): entry for n, entry in annotations(track).items()}
    read = read_mano_json(write(tmp_path / "poses.json", entries), hands, frames=(500, 500 + 2 * step))
    assert read.times.tolist() == pytest.approx([0, seconds, 2 * seconds])


def test_frames_and_captures_are_chosen(tmp_path: Path, hands) -> None:
    track, other = made_up_track(), made_up_track(6)
    path = write(tmp_path / "two.json", {"0": annotations(track), "7": annotations(other)})
    read = read_mano_json(path, hands[1:], capture="7", frames=(503, 510))
    assert read.sides == ("right",)
    torch.testing.assert_close(read.pose.translation[:, 0], other.pose.translation[1:4, 1])
    assert float(read.times[0]) == 0
    for capture, found in ((None, "none"), ("3", "3")):
        with pytest.raises(HandsError, match=f"expected a capture out of 0, 7, found {found}: name one"):
            read_mano_json(path, hands, capture=capture)
    with pytest.raises(HandsError, match="in frames 1 to 9, found none among 0 frame"):
        read_mano_json(path, hands, capture="0", frames=(1, 9))


def test_a_side_without_any_pose_is_left_out(tmp_path: Path, hands) -> None:
    track = made_up_track()
    track.pose.valid[:, 0] = False
    path = write(tmp_path / "right.json", annotations(track))
    assert read_mano_json(path, hands).sides == ("right",)
    with pytest.raises(HandsError, match="expected poses of the left hand"):
        read_mano_json(path, hands[:1])


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([1, 2], "expected MANO poses by capture and frame"),
        ({"0": {}}, "expected MANO poses by capture and frame"),
        ({"0": {"a": {"right": None}}}, "expected numbers of frames"),
        ({"1": {"right": {"pose": [0.0] * 45, "trans": [0.0] * 3}}}, "48 finite numbers .* right hand in frame 1"),
        ({"1": {"right": {"pose": [float("nan")] * 48, "trans": [0.0] * 3}}}, "48 finite numbers"),
        ({"1": {"right": {"shape": []}}}, "48 finite numbers"),
    ],
)
def test_bad_mano_json_is_named(tmp_path: Path, hands, entries: object, sentence: str) -> None:
    with pytest.raises(HandsError, match=sentence):
        read_mano_json(write(tmp_path / "bad.json", entries), hands)


def test_json_cut_short(tmp_path: Path, hands) -> None:
    path = write(tmp_path / "cut.json", annotations(made_up_track()))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(HandsError, match="cut.json: expected MANO poses in JSON"):
        read_mano_json(path, hands)
    with pytest.raises(HandsError, match="none.json: expected MANO poses, found no such file"):
        read_mano_json(tmp_path / "none.json", hands)
