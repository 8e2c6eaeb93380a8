"""Landmarks of other programs, written here as their documentation has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerfstudio_hands.captures.landmark_files import ImageLandmarks, read_landmarks
from nerfstudio_hands.errors import HandsError

SIZE = (640, 480)
HANDS = np.random.default_rng(0).uniform([40, 40], [600, 440], (2, 21, 2))
"""Pixels of a left and a right hand by the programs' convention: the first pixel's centre is (0, 0)."""


def flat(points: np.ndarray, confidence: float = 0.8) -> list[float]:
    return np.concatenate([points, np.full((len(points), 1), confidence)], -1).ravel().tolist()


def whole_body(confidence: float = 0.8) -> np.ndarray:
    """133 points, of which the hands come last, the left one first."""
    body = np.full((91, 2), 7.0)
    return np.concatenate([np.concatenate([body, *HANDS]), np.full((133, 1), confidence)], -1)


def openpose() -> dict[str, Any]:
    person = {"hand_left_keypoints_2d": flat(HANDS[0]), "hand_right_keypoints_2d": flat(HANDS[1])}
    return {"version": 1.3, "people": [{"pose_keypoints_2d": [0.0] * 75, **person}]}


def instance() -> dict[str, Any]:
    points = whole_body()
    return {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist(), "bbox_score": 0.9}


def coco(annotation: dict[str, Any]) -> dict[str, Any]:
    images = [
        {"id": 3, "file_name": "other.jpg", "width": 640, "height": 480},
        {"id": 7, "file_name": "frames/0.jpg", "width": 640, "height": 480},
    ]
    return {"images": images, "annotations": [{"image_id": 3, "keypoints": [0] * 51}, {"image_id": 7, **annotation}]}


FORMS = {
    "OpenPose": openpose(),
    "MMPose, a picture": [instance()],
    "MMPose, instances": {"instances": [instance()]},
    "MMPose, a video of one": {"meta_info": {}, "instance_info": [{"frame_id": 1, "instances": [instance()]}]},
    "COCO-WholeBody, annotations": coco(
        {"keypoints": [0] * 51, "lefthand_kpts": flat(HANDS[0]), "righthand_kpts": flat(HANDS[1])}
    ),
    "COCO-WholeBody, results": {"annotations": [{"image_id": 1, "keypoints": whole_body().ravel().tolist()}]},
}


def read(folder: Path, content: Any) -> ImageLandmarks:
    (folder / "0.json").write_text(json.dumps(content))
    return read_landmarks(folder / "0.json", SIZE)


@pytest.mark.parametrize("form", FORMS)
def test_both_hands_of_every_form(tmp_path: Path, form: str) -> None:
    found = read(tmp_path, FORMS[form])
    np.testing.assert_allclose(found.pixels, HANDS + 0.5)
    np.testing.assert_allclose(found.score, 0.8)
    assert np.isnan(found.metric).all() and found.problems == ()


def test_landmarks_without_confidence_are_absent(tmp_path: Path) -> None:
    content = openpose()
    content["people"][0]["hand_left_keypoints_2d"] = [0.0] * 63
    content["people"][0]["hand_right_keypoints_2d"][3:6] = [0.0, 0.0, 0.0]
    found = read(tmp_path, content)
    assert found.present == (False, True)
    assert np.isnan(found.pixels[1, 1]).all() and np.isfinite(found.pixels[1, 2:]).all()
    content["people"] = []
    assert read(tmp_path, content).present == (False, False)


def test_of_several_people_the_one_with_the_surest_hands_is_taken(tmp_path: Path) -> None:
    content = openpose()
    other = {"hand_left_keypoints_2d": flat(HANDS[1], 0.3), "hand_right_keypoints_2d": flat(HANDS[0], 0.3)}
    content["people"].insert(0, other)
    found = read(tmp_path, content)
    np.testing.assert_allclose(found.pixels, HANDS + 0.5)
    assert "hands of 2 people" in found.problems[0]


@pytest.mark.parametrize("form", ["[0, 1]", "[-1, 1]"])
def test_fractions_of_the_image_are_recognised(tmp_path: Path, form: str) -> None:
    fractions = (HANDS + 0.5) / SIZE
    stored = fractions if form == "[0, 1]" else fractions * 2 - 1
    content = {"people": [{"hand_left_keypoints_2d": flat(stored[0]), "hand_right_keypoints_2d": flat(stored[1])}]}
    found = read(tmp_path, content)
    np.testing.assert_allclose(found.pixels, HANDS + 0.5)
    assert form in found.problems[0]
    ours = {"Left": {"pixels": stored[0].tolist()}, "Right": {"pixels": stored[1].tolist()}}
    np.testing.assert_allclose(read(tmp_path, ours).pixels, HANDS + 0.5)


def test_landmarks_of_a_image_of_another_size_are_scaled(tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "width": 1280, "height": 960}], "annotations": [
        {"image_id": 1, "lefthand_kpts": flat(HANDS[0] * 2 + 0.5), "righthand_kpts": flat(HANDS[1] * 2 + 0.5)}
    ]}  # fmt: skip
    found = read(tmp_path, content)
    np.testing.assert_allclose(found.pixels, HANDS + 0.5)
    assert "1280x960" in found.problems[0]


BROKEN = {
    "a hand cut short": ({"people": [{"hand_left_keypoints_2d": [1.0] * 60}]}, "21 points .* found 20"),
    "text": ({"people": [{"hand_left_keypoints_2d": ["a"] * 63}]}, "could not convert"),
    "people that are none": ({"people": [3]}, "an object for each of the people, found int"),
    "points of a body alone": ([{"keypoints": [[0, 0]] * 17, "keypoint_scores": [1] * 17}], "133 points .* found 17"),
    "scores of another number": ([{"keypoints": [[0, 0]] * 133, "keypoint_scores": [1] * 5}], "133 points"),
    "a whole video": ({"instance_info": [{"instances": []}] * 9}, "one picture, found 9"),
    "many pictures, none of this name": ({"images": [{"id": 1}, {"id": 2}], "annotations": []}, "one picture, found 2"),
    "far outside": (
        {"people": [{"hand_left_keypoints_2d": flat(HANDS[0] * 4), "hand_right_keypoints_2d": flat(HANDS[1] * 4)}]},
        "in a picture of 640x480",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_sentence_for_a_broken_file(tmp_path: Path, case: str) -> None:
    content, sentence = BROKEN[case]
    with pytest.raises(HandsError, match=sentence) as raised:
        read(tmp_path, content)
    assert "0.json" in str(raised.value) and "\n" not in str(raised.value)
