"""Joint positions from files: our arrays, InterHand2.6M's annotations, and what is no hand's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_motion import swinging

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import default_hand
from nerfstudio_hands.hand_model.joints import to_interhand
from nerfstudio_hands.motion.forecasting.joint_files import read_joint_file
from nerfstudio_hands.motion.forecasting.representations import HandAngles, JointPositions
from nerfstudio_hands.motion.forecasting.skeleton import Skeleton
from nerfstudio_hands.motion.forecasting.track_states import HandStates

ABSOLUTE, RELATIVE = JointPositions(absolute=True), JointPositions()
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def joints(count: int = 40) -> torch.Tensor:
    right = default_hand("right")
    return HandAngles(Skeleton.of(right)).joints(HandStates.of(right).states(swinging().pose[:count, 0]))


def written(path: Path, **arrays) -> Path:
    np.savez(path, **({"joints": joints().numpy(), "fps": 30.0, "side": "right"} | arrays))
    return path


def test_a_left_hand_is_read_as_its_mirror_image_and_gaps_part_recordings(tmp_path: Path) -> None:
    holed = (joints() * MIRROR).clone()
    holed[20, 4, 1] = torch.nan
    found = read_joint_file(written(tmp_path / "a.npz", joints=holed.numpy(), side="left"), ABSOLUTE)
    assert [len(recording.states) for recording in found] == [20, 19]
    torch.testing.assert_close(ABSOLUTE.joints(found[0].states), joints()[:20])
    (relative,) = read_joint_file(written(tmp_path / "b.npz"), RELATIVE)
    torch.testing.assert_close(RELATIVE.joints(relative.states), joints() - joints()[:, :1])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"joints": joints().numpy() * 1000}, "expected joints in metres, found .* millimetres: divide by 1000"),
        ({"joints": to_interhand(joints()).numpy()}, "from the wrist, then thumb to pinky.* as in another order"),
        ({"joints": joints().numpy()[:, :16]}, r"found joints of the shape \[40, 16, 3\]"),
        ({"joints": torch.stack([joints(), joints()], 1).numpy()}, "give 21 joints of one hand"),
        ({"side": "both"}, "found side 'both'"),
        ({"fps": 0.0}, "fps 0"),
    ],
    ids=["millimetres", "order", "too few", "two hands", "side", "rate"],
)
def test_what_is_no_hand_of_ours_is_refused(tmp_path: Path, arrays: dict, words: str) -> None:
    with pytest.raises(HandsError, match=words):
        read_joint_file(written(tmp_path / "a.npz", **arrays), ABSOLUTE)


def test_interhand_annotations(tmp_path: Path) -> None:
    """Frames 3 apart of the training split: 30 a second; the left hand is not annotated."""
    frames = {}
    for number, posed in enumerate(joints()):
        if number == 25:
            continue
        coordinates = torch.cat([1000 * to_interhand(posed), torch.zeros(21, 3)])
        valid = torch.cat([torch.ones(21, 1), torch.zeros(21, 1)])
        frames[str(3 * number)] = {"world_coord": coordinates.tolist(), "joint_valid": valid.tolist()}
    path = tmp_path / "InterHand2.6M_train_joint_3d.json"
    path.write_text(json.dumps({"0": frames}))
    found = read_joint_file(path, ABSOLUTE)
    assert [len(recording.states) for recording in found] == [25, 14] and found[0].fps == 30
    torch.testing.assert_close(ABSOLUTE.joints(found[1].states), joints()[26:], atol=1e-5, rtol=0)
    frames["0"]["world_coord"] = [[0.0, 0.0, 0.0]]
    path.write_text(json.dumps({"0": frames}))
    with pytest.raises(HandsError, match="expected world_coord of 42 joints"):
        read_joint_file(path, ABSOLUTE)
