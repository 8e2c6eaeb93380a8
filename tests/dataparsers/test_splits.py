"""Which cameras and frames train, by the names that the files have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.splits import (
    Split,
    choose_cameras,
    choose_frames,
    evaluation_rows,
    nothing_held_out,
    split_capture,
    training_rows,
)
from nerfstudio_hands.errors import HandsError

NAMES = [f"{k:02d}" for k in range(9)]


@pytest.fixture
def capture() -> Capture:
    """Nine cameras; the last has calibration but no pictures."""
    cameras = [CaptureCamera(name, np.eye(3), np.eye(4), 64, 48) for name in NAMES]
    return Capture(
        root=Path("scan"),
        cameras=cameras,
        frames=["1"],
        images={("1", name): Path(f"{name}.png") for name in NAMES[:-1]},
        masks={},
        detections=np.full((1, 9, 2, 21, 2), np.nan),
        problems=[],
    )


def split(capture: Capture, cameras=None, exclude=(), held_out=None):
    return choose_cameras(capture, cameras=cameras, exclude=exclude, held_out=held_out)


def test_held_out_by_name(capture):
    train, held_out = split(capture, held_out=("03", "05"))
    assert held_out == ["03", "05"] and train == ["00", "01", "02", "04", "06", "07"]


def test_every_seventh_by_default_and_none_on_request(capture):
    assert split(capture)[1] == ["03"]
    assert split(capture, held_out=()) == (NAMES[:-1], [])


def test_left_out_and_chosen(capture):
    assert split(capture, exclude=("01",), held_out=("00",))[0] == NAMES[2:-1]
    assert split(capture, cameras=("01", "02"), held_out=("00",)) == (["01", "02"], ["00"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"held_out": ("3",)}, "--eval-cameras.*found 3"),
        ({"exclude": ("x",)}, "--exclude-cameras.*found x"),
        ({"held_out": ("08",)}, "with pictures.*08"),
        ({"held_out": tuple(NAMES[:-1])}, "at least one training camera"),
    ],
)
def test_wrong_names_are_said(capture, options, said):
    with pytest.raises(HandsError, match=said):
        split(capture, **options)


@pytest.fixture
def motion(capture) -> Capture:
    """Eight cameras with pictures of sixty frames: forty of one sequence, twenty of another."""
    frames = [f"{name}/{k}" for name, count in (("a", 40), ("b", 20)) for k in range(count)]
    return replace(
        capture,
        cameras=capture.cameras[:-1],
        frames=frames,
        images={(frame, name): Path("unread.jpg") for frame in frames for name in NAMES[:-1]},
        detections=None,
        stored_keypoints=np.zeros((60, 2, 21, 3)),
        sequences=[frame[0] for frame in frames],
    )


def held_out(*arguments, **options) -> list[int]:
    return np.flatnonzero(~choose_frames(*arguments, **options)).tolist()


def test_the_end_of_every_sequence_is_held_out(motion):
    assert held_out(motion) == [*range(30, 40), *range(55, 60)]
    assert held_out(motion, fraction=1 / 3) == [*range(27, 40), *range(53, 60)]
    assert held_out(motion, fraction=0.0) == []


def test_a_sequence_is_held_out_whole(motion):
    assert held_out(motion, held_out=("b",)) == list(range(40, 60))
    assert held_out(motion, held_out=("b",), fraction=0.1) == [*range(36, 40), *range(40, 60)]


def test_frames_without_sequences_train_unless_asked_for(capture, motion):
    still = replace(motion, sequences=None)
    assert held_out(capture) == [] and held_out(still) == []
    assert held_out(still, fraction=0.25) == list(range(45, 60))
    assert held_out(capture, fraction=0.25) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"held_out": ("c",)}, r"--eval-sequences.*\(a, b\), found c"),
        ({"held_out": ("a", "b")}, "at least one training frame"),
        ({"fraction": 1.0}, "--eval-frame-fraction.*found 1.0"),
        ({"fraction": -0.1}, "--eval-frame-fraction.*found -0.1"),
    ],
)
def test_frames_that_cannot_be_held_out_are_said(motion, options, said):
    with pytest.raises(HandsError, match=said):
        choose_frames(motion, **options)


def test_rows_of_two_cameras_and_twenty_frames_held_out(motion):
    split = split_capture(motion, eval_cameras=("02", "06"), eval_sequences=("b",))
    shown = np.ones(60, dtype=bool)
    train = training_rows(motion, split, shown)
    assert len(train) == 6 * 40
    assert all(frame < 40 and name not in ("02", "06") for frame, name in train)
    assert split.shape_frames == list(range(40))
    rows, protocols = evaluation_rows(motion, split, shown, max_images=0)
    assert Counter(protocols) == {"view": 2 * 40, "pose": 6 * 20, "both": 2 * 20}
    for (frame, name), protocol in zip(rows, protocols, strict=True):
        new_view, new_pose = name in ("02", "06"), frame >= 40
        assert protocol == {(True, False): "view", (False, True): "pose", (True, True): "both"}[new_view, new_pose]
    assert not set(rows) & set(train) and len(set(rows)) == len(rows)


def test_frames_without_the_hand_are_in_no_row(motion):
    split = split_capture(motion, eval_cameras=("02",))
    shown = np.arange(60) % 2 == 0
    rows = training_rows(motion, split, shown) + evaluation_rows(motion, split, shown, max_images=0)[0]
    assert {frame for frame, _ in rows} == set(range(0, 60, 2))


def test_evaluated_images_are_spread_over_frames_and_cameras(motion):
    split = split_capture(motion, eval_cameras=("02", "06"), eval_sequences=("b",))
    rows, protocols = evaluation_rows(motion, split, np.ones(60, dtype=bool), max_images=12)
    assert Counter(protocols) == {"view": 12, "pose": 12, "both": 12}
    views = rows[:12]
    assert len(set(views)) == 12
    # 80 rows of 40 frames: one from each twelfth, which is 6 or 7 rows, of either camera.
    numbers = [frame * 2 + ("02", "06").index(name) for frame, name in views]
    assert numbers[0] < 7 and numbers[-1] >= 73 and np.diff(numbers).max() <= 13
    assert min(Counter(name for _, name in views).values()) >= 4
    assert len({name for _, name in rows[12:24]}) >= 5
    for count in (77, 78, 79):
        assert len(set(evaluation_rows(motion, split, np.ones(60, dtype=bool), max_images=count)[0][:count])) == count


def test_nothing_is_called_a_protocol_where_no_frame_is_held_out(capture):
    split = split_capture(capture)
    rows, protocols = evaluation_rows(capture, split, np.ones(1, dtype=bool), max_images=30)
    assert rows == [(0, "03")] and protocols is None and split.shape_frames is None
    single = Split(["00"], ["01", "02"], np.ones(1, dtype=bool))
    assert len(training_rows(capture, single, np.ones(1, dtype=bool))) == 1
    assert evaluation_rows(capture, single, np.ones(1, dtype=bool), max_images=30)[0] == [(0, "01"), (0, "02")]


def test_one_training_camera_and_others_to_evaluate(motion):
    split = split_capture(motion, cameras=("01",), eval_cameras=("04", "05"))
    assert split.train_cameras == ["01"] and split.eval_cameras == ["04", "05"]
    assert split_capture(motion, cameras=("01",)).eval_cameras == []


def test_a_capture_of_which_nothing_is_held_out_is_said_before_anybody_trains(capture: Capture) -> None:
    one = replace(capture, cameras=capture.cameras[:1], detections=capture.detections[:, :1])
    said = nothing_held_out(one, split_capture(one))
    assert said is not None and said.startswith("No picture is held out of 1 frame and 1 camera")
    assert "ns-eval" in said and "take more frames, or a second camera" in said
    assert nothing_held_out(capture, split_capture(capture)) is None
    several = nothing_held_out(capture, split_capture(capture, eval_cameras=()))
    assert several is not None and "--eval-cameras" in several and "second camera" not in several
