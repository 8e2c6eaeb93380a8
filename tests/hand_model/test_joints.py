"""Joint orders, checked by joint names written out from each format's description."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfstudio_hands.hand_model import joints

MEDIAPIPE = (
    "wrist thumb_1 thumb_2 thumb_3 thumb_4 index_1 index_2 index_3 index_4 middle_1 middle_2 middle_3 middle_4 "
    "ring_1 ring_2 ring_3 ring_4 pinky_1 pinky_2 pinky_3 pinky_4"
).split()
MANO_AND_TIPS = (
    "wrist index_1 index_2 index_3 middle_1 middle_2 middle_3 pinky_1 pinky_2 pinky_3 ring_1 ring_2 ring_3 "
    "thumb_1 thumb_2 thumb_3 thumb_4 index_4 middle_4 ring_4 pinky_4"
).split()
INTERHAND = (
    "thumb_4 thumb_3 thumb_2 thumb_1 index_4 index_3 index_2 index_1 middle_4 middle_3 middle_2 middle_1 "
    "ring_4 ring_3 ring_2 ring_1 pinky_4 pinky_3 pinky_2 pinky_1 wrist"
).split()


def test_orders_name_every_joint() -> None:
    assert list(joints.JOINT_NAMES) == MEDIAPIPE
    assert [MANO_AND_TIPS[k] for k in joints.JOINTS_TO_MANO_WITH_TIPS] == list(joints.JOINT_NAMES)
    assert joints.from_interhand(np.array(INTERHAND), axis=0).tolist() == list(joints.JOINT_NAMES)
    assert joints.to_interhand(np.array(joints.JOINT_NAMES), axis=0).tolist() == INTERHAND


def test_converters_take_batches_of_tensors() -> None:
    positions = torch.randn(2, 5, 21, 3)
    moved = joints.from_interhand(positions)
    torch.testing.assert_close(moved[..., 0, :], positions[..., 20, :])
    torch.testing.assert_close(joints.to_interhand(moved), positions)


def test_a_wrong_number_of_joints_is_refused() -> None:
    with pytest.raises(ValueError, match="21 joints"):
        joints.from_interhand(torch.zeros(16, 3))


def test_interhand_sides_come_out_left_first() -> None:
    stored = torch.arange(42.0)[:, None]
    sides = joints.split_interhand(stored)
    assert sides[joints.SIDES.index("right"), 0, 0] == 20
    assert sides[joints.SIDES.index("left"), 0, 0] == 41


@pytest.mark.parametrize(
    ("names", "parents"),
    [(joints.JOINT_NAMES, joints.JOINT_PARENTS), (joints.MANO_JOINT_NAMES, joints.MANO_PARENTS)],
)
def test_parents_are_the_previous_joint_of_the_finger(names, parents) -> None:
    for name, parent in zip(names, parents, strict=True):
        if name == "wrist":
            assert parent == -1
        elif name.endswith("_1"):
            assert names[parent] == "wrist"
        else:
            finger, number = name.split("_")
            assert names[parent] == f"{finger}_{int(number) - 1}"
