"""Folders with a file a frame."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.motion.track_file import read_any_track

RIGHT = (default_hand("right"),)


def angles(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (count, 51))


def test_pickles_of_ho3d_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rows = angles()
    for number, row in enumerate(rows):
        content = {"handPose": row[:48], "handTrans": row[48:], "objName": "mug"}
        if number == 4:
            content = {"handPose": None, "handTrans": None}
        (tmp_path / f"{number}.pkl").write_bytes(pickle.dumps(content))
    track = read_any_track(tmp_path, RIGHT)
    assert track.num_keys == 12 and track.pose.valid[:, 0].tolist() == [number != 4 for number in range(12)]
    # The eleventh file is called 10, and follows 9.
    found = torch.cat([track.pose.global_orient, track.pose.local_rotations.flatten(2), track.pose.translation], dim=-1)
    torch.testing.assert_close(found[10, 0], torch.from_numpy(rows[10]).float())


def test_labels_of_dexycb(tmp_path: Path) -> None:
    rows = angles(3)
    rows[1] = 0
    for number, row in enumerate(rows):
        np.savez(tmp_path / f"labels_{number:06d}.npz", pose_m=row[None], seg=np.zeros((2, 2), np.uint8))
    track = read_any_track(tmp_path, RIGHT, convention="mano-flat")
    assert track.pose.valid[:, 0].tolist() == [True, False, True]
    torch.testing.assert_close(track.pose.global_orient[2, 0], torch.from_numpy(rows[2, :3]).float())
    # Without MANO's own file nobody knows what coefficients stand for.
    with pytest.raises(HandsError, match="MANO's hand model"):
        read_any_track(tmp_path, RIGHT)


class Trap:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_what_is_no_frame_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(HandsError, match="expected a file a frame"):
        read_any_track(tmp_path, RIGHT)
    (tmp_path / "0.pkl").write_bytes(pickle.dumps({"camMat": np.eye(3)}))
    with pytest.raises(HandsError, match="expected pose_m .* found camMat"):
        read_any_track(tmp_path, RIGHT)
    (tmp_path / "0.pkl").write_bytes(pickle.dumps({"handPose": np.ones(48)}))
    with pytest.raises(HandsError, match="0.pkl: expected 51 numbers of a hand, found 48"):
        read_any_track(tmp_path, RIGHT)
    (tmp_path / "0.pkl").write_bytes(pickle.dumps({"handPose": Trap(tmp_path / "ran")}))
    with pytest.raises(HandsError, match="0.pkl: expected a frame's arrays"):
        read_any_track(tmp_path, RIGHT)
    assert not (tmp_path / "ran").exists()
