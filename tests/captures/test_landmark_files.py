"""Landmarks on disk: ours come back as they were written, those of others mean what their programs document."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.captures.landmark_files import (
    ImageLandmarks,
    no_landmarks,
    read_landmark_files,
    read_landmarks,
    write_landmarks,
)
from nerfstudio_hands.errors import HandsError

SIZE = (640, 480)


def made_up(seed: int = 0) -> ImageLandmarks:
    rng = np.random.default_rng(seed)
    return ImageLandmarks(
        rng.uniform(0, 480, (2, 21, 2)), rng.normal(0, 0.05, (2, 21, 3)), rng.uniform(0.5, 1, 2).round(3)
    )


def pose_json(fractions: np.ndarray) -> list[float]:
    """A hand as a capture room has it; z is nonsense."""
    return np.concatenate([fractions, np.full((21, 1), 9.0)], -1).ravel().tolist()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    landmarks = made_up()
    landmarks.pixels[0, 3] = np.nan
    write_landmarks(tmp_path / "0.json", landmarks)
    again = read_landmarks(tmp_path / "0.json", SIZE)
    np.testing.assert_allclose(again.pixels, landmarks.pixels, atol=5e-4)
    np.testing.assert_allclose(again.metric, landmarks.metric, atol=5e-7)
    np.testing.assert_allclose(again.score, landmarks.score)
    assert again.present == (True, True) and again.problems == ()


def test_an_absent_hand_is_null(tmp_path: Path) -> None:
    landmarks = made_up()
    landmarks.pixels[0] = landmarks.metric[0] = landmarks.score[0] = np.nan
    write_landmarks(tmp_path / "0.json", landmarks)
    assert json.loads((tmp_path / "0.json").read_text())["Left"] is None
    assert read_landmarks(tmp_path / "0.json", SIZE).present == (False, True)
    write_landmarks(tmp_path / "1.json", no_landmarks())
    assert read_landmarks(tmp_path / "1.json", SIZE).present == (False, False)


@pytest.mark.parametrize("convention", ["[-1, 1]", "[0, 1]", "pixels"])
def test_landmarks_of_a_capture_room_are_told_apart_over_all_images(tmp_path: Path, convention: str) -> None:
    fractions = np.random.default_rng(1).uniform(0.05, 0.95, (4, 21, 2))
    stored = {"[-1, 1]": fractions * 2 - 1, "[0, 1]": fractions, "pixels": fractions * SIZE}[convention]
    paths = [tmp_path / f"{index}.json" for index in range(4)]
    for path, hand in zip(paths, stored, strict=True):
        path.write_text(json.dumps({"Left": [], "Right": pose_json(hand)}))
    found = read_landmark_files(paths, [SIZE] * 4)
    np.testing.assert_allclose([landmarks.pixels[1] for landmarks in found], fractions * SIZE, atol=1e-9)
    assert not any(landmarks.present[0] for landmarks in found)
    problems = [sentence for landmarks in found for sentence in landmarks.problems]
    assert len(problems) == (convention != "[-1, 1]")
    assert all(convention in sentence for sentence in problems)


def test_one_spoilt_file_does_not_change_how_others_are_read(tmp_path: Path) -> None:
    fractions = np.random.default_rng(1).uniform(0.05, 0.95, (20, 21, 2))
    paths = [tmp_path / f"{index}.json" for index in range(20)]
    for path, hand in zip(paths, fractions, strict=True):
        path.write_text(json.dumps({"Left": [], "Right": pose_json(hand)}))
    paths[3].write_text(json.dumps({"Left": [], "Right": pose_json(fractions[3] - 1)}))
    found = read_landmark_files(paths, [SIZE] * 20)
    np.testing.assert_allclose(found[0].pixels[1], fractions[0] * SIZE, atol=1e-9)


BROKEN = {
    "no JSON": ("{", "as JSON"),
    "a hand of other keys": ({"Left": {"points": []}, "Right": None}, "Left to be null or an object with pixels"),
    "too few landmarks": ({"Left": {"pixels": [[0, 0]] * 20}, "Right": None}, r"21 x 2 numbers .*\(20, 2\)"),
    "text": ({"Left": None, "Right": {"pixels": [["a", 0]] * 21}}, "could not convert"),
    "infinity": ({"Left": None, "Right": {"pixels": [[1e400, 0]] * 21}}, "infinity"),
    "of a larger picture": ({"Left": None, "Right": {"pixels": [[1900, 300]] * 21}}, r"640x480 .*\(1900, 300\)"),
    "some other JSON": ({"hands": []}, "keys Left and Right, found hands"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_sentence_for_a_broken_file(tmp_path: Path, case: str) -> None:
    content, sentence = BROKEN[case]
    (tmp_path / "0.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(HandsError, match=sentence) as raised:
        read_landmarks(tmp_path / "0.json", SIZE)
    assert "0.json" in str(raised.value) and "\n" not in str(raised.value)
