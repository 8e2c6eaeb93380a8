"""MANO's own files, written of the built-in hand and read again."""

import numpy as np
import pytest
import torch
from helpers.made_up_hands import MEAN, write_mano

from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.load import default_hand, load_hand
from nerfstudio_hands.hand_model.model import mirror_rotations


@pytest.fixture(scope="module")
def mano(tmp_path_factory):
    return write_mano(tmp_path_factory.mktemp("mano"))


@pytest.mark.parametrize("side", SIDES)
def test_the_reader_of_mano_files_finds_the_hand_again(mano, side):
    read, model = load_hand(mano, side), default_hand(side)
    assert read.side == side and read.name == f"mano-{side}"
    for name in ("template", "faces", "weights", "shape_dirs", "pose_dirs", "joint_regressor"):
        torch.testing.assert_close(getattr(read, name), getattr(model, name))
    torch.testing.assert_close(read.hands_mean, MEAN if side == "right" else mirror_rotations(MEAN))


def test_files_have_the_entries_of_official_ones_and_their_known_fault(mano):
    right, left = (read_array_pickle(mano / f"MANO_{side}.pkl") for side in ("RIGHT", "LEFT"))
    expected = {"v_template", "f", "posedirs", "J_regressor", "J", "weights", "kintree_table", "hands_components"}
    assert expected | {"hands_mean", "hands_coeffs", "shapedirs"} == set(right)
    assert right["kintree_table"][0, 0] == 2**32 - 1
    np.testing.assert_array_equal(left["shapedirs"], right["shapedirs"])
    np.testing.assert_allclose(left["v_template"], right["v_template"] * [-1, 1, 1])
    np.testing.assert_allclose(right["J"], right["J_regressor"] @ right["v_template"], atol=1e-6)
