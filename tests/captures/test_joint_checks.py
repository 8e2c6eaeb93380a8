"""Joints and landmarks that are finite and still no hand's, in every layout that has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.make_deephandmesh import make_deephandmesh
from helpers.make_interhand import annotation_file, edit_joints, make_interhand
from helpers.make_scan import make_scan

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.captures.formats.deephandmesh import read_deephandmesh
from nerfstudio_hands.captures.formats.interhand import read_interhand
from nerfstudio_hands.captures.joint_checks import believable_joints, check_landmarks, of_hands
from nerfstudio_hands.captures.landmark_files import no_landmarks, read_landmarks, write_landmarks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand

NONSENSE = (1e12, 1e-12)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def hands() -> np.ndarray:
    """Joints [1, 2, 21, 3] of two hands at rest, metres."""
    surface = HandSurface(tuple(default_hand(side) for side in ("left", "right")))
    return surface.pose(HandPose.rest(2, (1,)), torch.zeros(10)).keypoints.double().numpy()


def test_a_hand_is_one_wherever_it_is_in_a_room(hands):
    for joints in (hands, hands + 3.0, 0.3 * hands):
        assert of_hands(joints).all()
    absent = hands.copy()
    absent[0, 1] = np.nan
    absent[0, 0, 5:] = np.nan
    assert of_hands(absent).sum() == 5


@pytest.mark.parametrize("scale", [1000, 1e-3, 1e12, 1e-12])
def test_a_hand_of_another_unit_is_none(hands, scale: float):
    assert not of_hands(scale * hands).any() and not of_hands(hands + 1e12).any()
    with pytest.raises(HandsError, match="a.json: expected joints of hands, .*check the unit"):
        believable_joints(Path("a.json"), scale * hands, ["1"], [])


def test_what_is_odd_in_a_frame_is_left_out_and_said(hands):
    joints, problems = np.concatenate([hands] * 3), []
    joints[1, 0, 7, 2] = 1e12
    joints[2, 1] *= 1e-12
    kept = believable_joints(Path("a.json"), joints, ["a", "b", "c"], problems)
    assert np.isnan(kept).all(-1).sum() == 22 and np.isnan(kept[1, 0, 7]).all() and np.isnan(kept[2, 1]).all()
    (said,) = problems
    assert said.startswith("a.json: ") and "22 in 2 of 3 frames (b, c)" in said


@pytest.mark.parametrize("number", NONSENSE)
def test_interhand_of_nonsense_is_refused(tmp_path: Path, number: float):
    truth = make_interhand(tmp_path)
    for frame, joints in truth.joints.items():
        edit_joints(tmp_path, frame, world_coord=(number * joints).tolist())
    with pytest.raises(HandsError, match="joint_3d.json: expected joints of hands"):
        read_interhand(tmp_path)


def test_a_frame_of_nonsense_of_interhand_is_left_out(tmp_path: Path):
    truth = make_interhand(tmp_path)
    edit_joints(tmp_path, 36, world_coord=(1e12 * truth.joints[36]).tolist())
    capture = read_interhand(tmp_path)
    assert not any(frame.endswith("/36") for frame in capture.frames)
    assert any("in 1 of 6 frames (36)" in problem for problem in capture.problems)


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("camera", lambda entry: entry["campos"].update({"400002": [1e12, 0, 0]}), "translation below"),
        ("camera", lambda entry: entry["focal"].update({"400002": [1e-12, 1e-12]}), "focal lengths of 2"),
        ("camera", lambda entry: entry["princpt"].update({"400002": [1e12, 0]}), "principal point"),
        ("MANO_NeuralAnnot", lambda entry: entry["18"]["right"].update(trans=[1e12, 0, 0]), "numbers up to 1000"),
        ("MANO_NeuralAnnot", lambda entry: entry["18"]["right"].update(pose=[1e12] * 48), "numbers up to 100"),
    ],
)
def test_other_numbers_of_interhand_are_looked_at(tmp_path: Path, name: str, change: Callable, found: str):
    make_interhand(tmp_path)
    file = annotation_file(tmp_path, name)
    content = json.loads(file.read_text())
    change(content["0"])
    file.write_text(json.dumps(content))
    with pytest.raises(HandsError, match=f"{file.name}: expected .*{found}"):
        read_interhand(tmp_path)


@pytest.mark.parametrize("number", NONSENSE)
def test_deephandmesh_of_nonsense_is_refused(tmp_path: Path, number: float):
    make_deephandmesh(tmp_path)
    for file in (tmp_path / "annotations" / "keypoints").rglob("*.pts"):
        rows = np.loadtxt(file)
        rows[:, 1:4] *= number
        np.savetxt(file, rows)
    with pytest.raises(HandsError, match="keypoints.*: 'joints of no hand's size or place"):
        read_deephandmesh(tmp_path)


@pytest.mark.parametrize("number", NONSENSE)
def test_a_capture_room_of_nonsense_is_refused(tmp_path: Path, number: float):
    make_scan(tmp_path / "1")
    path = tmp_path / "1" / "pose" / "01.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "Right": [number] * 3 + whole["Right"][3:]}))
    if number > 1:
        with pytest.raises(HandsError, match="01.json: expected landmarks in or near a picture of 64x48 pixels"):
            read_capture_room(tmp_path / "1")
    path.write_text(json.dumps({**whole, "Right": [number * value for value in whole["Right"]]}))
    with pytest.raises(HandsError, match="01.json: expected .*found"):
        read_capture_room(tmp_path / "1")


def test_stored_joints_of_nonsense_are_left_out(tmp_path: Path):
    make_scan(tmp_path / "1")
    file = tmp_path / "1" / "keypoints_3d_1.xyz"
    np.savetxt(file, 1e12 * np.loadtxt(file))
    capture = read_capture_room(tmp_path / "1")
    assert capture.stored_keypoints is None and any("keypoints_3d_1.xyz" in problem for problem in capture.problems)


def test_landmarks_of_our_own_form_are_looked_at(tmp_path: Path):
    rng, file = np.random.default_rng(0), tmp_path / "a.json"
    for attribute, number, found in (
        ("pixels", 1e12, "landmarks"),
        ("metric", 1e12, "a hand in metres"),
        ("metric", 1e-5, "a hand in metres"),
    ):
        landmarks = no_landmarks()
        landmarks.pixels[1], landmarks.metric[1] = rng.uniform(5, 55, (21, 2)), rng.normal(0, 0.05, (21, 3))
        getattr(landmarks, attribute)[1] *= number
        write_landmarks(file, landmarks)
        with pytest.raises(HandsError, match=f"a.json: expected {found}"):
            read_landmarks(file, (80, 60))
    check_landmarks(file, np.where(np.arange(21)[:, None] < 1, 1.0, np.nan) * np.ones((2, 21, 2)), (80, 60))
