from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.evaluation.submissions import (
    write_dexycb_predictions,
    write_freihand_predictions,
    write_ho3d_predictions,
)
from nerfstudio_hands.hand_model.joints import FINGERS, JOINT_NAMES

RNG = np.random.default_rng(2)
JOINTS, VERTICES = RNG.normal(0, 0.1, (3, 21, 3)), RNG.normal(0, 0.1, (3, 50, 3))


def test_freihand_takes_joints_then_vertices(tmp_path: Path):
    archive = write_freihand_predictions(tmp_path / "sent", JOINTS, VERTICES)
    joints, vertices = json.loads((tmp_path / "sent" / "pred.json").read_text())
    assert np.allclose(joints, JOINTS, atol=1e-6) and np.allclose(vertices, VERTICES, atol=1e-6)
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["pred.json"]
        assert packed.read("pred.json") == (tmp_path / "sent" / "pred.json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "sent").iterdir()) == ["pred.json", "pred.zip"]


def test_ho3d_takes_its_own_order_and_axes(tmp_path: Path):
    write_ho3d_predictions(tmp_path, JOINTS, VERTICES)
    joints, vertices = map(np.array, json.loads((tmp_path / "pred.json").read_text()))
    assert np.allclose(vertices, VERTICES * [1, -1, -1], atol=1e-6)
    for place, name in ((0, "wrist"), (4, "middle_1"), (7, "pinky_1"), (10, "ring_1"), (13, "thumb_1")):
        assert np.allclose(joints[:, place], JOINTS[:, JOINT_NAMES.index(name)] * [1, -1, -1], atol=1e-6)
    for place, finger in enumerate(FINGERS, start=16):
        assert np.allclose(joints[:, place], JOINTS[:, JOINT_NAMES.index(f"{finger}_4")] * [1, -1, -1], atol=1e-6)


def test_dexycb_takes_an_index_and_millimeters_a_line(tmp_path: Path):
    write_dexycb_predictions(tmp_path / "sent" / "results.txt", np.array([0, 4, 7]), JOINTS)
    lines = (tmp_path / "sent" / "results.txt").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["0", "4", "7"]
    numbers = np.array([[float(word) for word in line.split(",")] for line in lines])
    assert numbers.shape == (3, 64) and np.allclose(numbers[:, 1:].reshape(3, 21, 3), 1000 * JOINTS, atol=1e-4)
    with pytest.raises(HandsError, match="an index and joints"):
        write_dexycb_predictions(tmp_path / "other.txt", np.array([0, 4]), JOINTS)
    broken = JOINTS.copy()
    broken[2, 0] = np.nan
    with pytest.raises(HandsError, match="none for 1 of 3"):
        write_dexycb_predictions(tmp_path / "other.txt", np.arange(3), broken)
    assert not (tmp_path / "other.txt").exists()


def test_gaps_and_other_shapes_are_refused(tmp_path: Path):
    with pytest.raises(HandsError, match="of the same pictures"):
        write_freihand_predictions(tmp_path, JOINTS, VERTICES[:2])
    broken = JOINTS.copy()
    broken[1, 3] = np.nan
    with pytest.raises(HandsError, match=r"none for 1 of 3 \(the first is number 1\)"):
        write_ho3d_predictions(tmp_path, broken, VERTICES)
    assert not list(tmp_path.iterdir())
