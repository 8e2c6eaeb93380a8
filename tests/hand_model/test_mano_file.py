"""The reader of official MANO files, on made-up files written byte by byte as Python 2 wrote them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import python2_pickle
import torch
from made_up_hands import mano_arrays, write_mano_file
from python2_pickle import Call, Global

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import MANO_PARENTS, default_hand, load_hand
from nerfstudio_hands.hand_model.mano_file import planar_uv, read_mano_hand, relative_to_flat, relative_to_mean
from nerfstudio_hands.hand_model.mano_pickle import read_mano_pickle


def test_arrays_come_back_as_written(tmp_path: Path) -> None:
    arrays = mano_arrays()
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", arrays)
    read = read_mano_pickle(tmp_path / "MANO_RIGHT.pkl")
    assert read.keys() == arrays.keys()
    for key, value in arrays.items():
        np.testing.assert_array_equal(read[key], value, err_msg=key)


def test_python2s_set_is_read(tmp_path: Path) -> None:
    path = tmp_path / "set.pkl"
    path.write_bytes(python2_pickle.dumps({"a": np.arange(3.0), "b": Call(Global("__builtin__", "set"), ((1, 2),))}))
    np.testing.assert_array_equal(read_mano_pickle(path)["a"], [0.0, 1.0, 2.0])


class _Touch:
    """Pickles as a call that leaves a mark on disk when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_with_a_foreign_global_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    mark, hostile = tmp_path / "mark", tmp_path / "MANO_RIGHT.pkl"
    hostile.write_bytes(pickle.dumps({"v_template": _Touch(mark)}, protocol=protocol))
    # The file does harm when an ordinary unpickler reads it, else the test would prove nothing.
    pickle.loads(hostile.read_bytes())
    assert mark.exists()
    mark.unlink()
    with pytest.raises(HandsError, match=r"MANO_RIGHT\.pkl.*could run code"):
        load_hand(hostile, "right")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("__builtin__", "eval"), ("builtins", "getattr"), ("numpy", "load"), ("chumpy.ch", "eval")],
)
def test_neighbours_of_allowed_globals_are_refused(tmp_path: Path, module: str, name: str) -> None:
    path = tmp_path / "MANO_LEFT.pkl"
    path.write_bytes(python2_pickle.dumps({"f": Call(Global(module, name), ("1",))}))
    with pytest.raises(HandsError) as error:
        read_mano_hand(path)
    assert name in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle at all",
        python2_pickle.dumps(("a", "tuple")),
        python2_pickle.dumps({"f": np.arange(9)})[:-20],
        python2_pickle.dumps({"f": Call(Global("numpy", "dtype"), ("f8", 0, 1))}),
        python2_pickle.dumps({"f": Call(Global("scipy.sparse.csc", "csc_matrix"), new=True)}),
        python2_pickle.dumps({"v_template": np.zeros((5, 3))}),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(content)
    with pytest.raises(HandsError, match=r"MANO_RIGHT\.pkl"):
        load_hand(path, "right")


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    dtype = Call(Global("numpy", "dtype"), ("O8", 0, 1), state=(3, "|", None, None, None, -1, -1, 63))
    array = Call(
        Global("numpy.core.multiarray", "_reconstruct"),
        (Global("numpy", "ndarray"), (0,), "b"),
        state=(1, (1,), dtype, False, ("a",)),
    )
    path = tmp_path / "objects.pkl"
    path.write_bytes(python2_pickle.dumps({"f": array}))
    with pytest.raises(HandsError, match="array of numbers"):
        read_mano_pickle(path)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("kintree_table", lambda a: np.stack([np.arange(24) - 1, np.arange(24)]), "not a body"),
        ("J_regressor", lambda a: a[:, :-1], "J_regressor"),
        ("weights", lambda a: 2 * a, "sum to 1"),
        ("weights", lambda a: a[:, :12], "weights"),
        ("v_template", lambda a: a * np.nan, "finite"),
        ("f", lambda a: a + 5000, "faces"),
    ],
)
def test_what_is_no_hand_is_refused(tmp_path: Path, key: str, change, message: str) -> None:
    arrays = mano_arrays()
    arrays[key] = change(arrays[key])
    path = tmp_path / "MANO_RIGHT.pkl"
    write_mano_file(path, arrays)
    with pytest.raises(HandsError, match=message) as error:
        load_hand(path, "right")
    assert str(path) in str(error.value)


def test_unmirrored_left_shape_directions_are_mirrored(tmp_path: Path) -> None:
    broken, sound, right = tmp_path / "broken.pkl", tmp_path / "sound.pkl", tmp_path / "right.pkl"
    write_mano_file(broken, mano_arrays("left", unmirrored_shape=True))
    write_mano_file(sound, mano_arrays("left"))
    write_mano_file(right, mano_arrays("right"))
    expected = default_hand("left").shape_dirs
    torch.testing.assert_close(read_mano_hand(broken).shape_dirs, expected)
    torch.testing.assert_close(read_mano_hand(sound).shape_dirs, expected)
    torch.testing.assert_close(read_mano_hand(right).shape_dirs, default_hand("right").shape_dirs)


@pytest.mark.parametrize("side", ["left", "right"])
def test_side_and_fingertips_are_found(tmp_path: Path, side: str) -> None:
    # The name of the file says nothing on purpose.
    path = tmp_path / "model.pkl"
    write_mano_file(path, mano_arrays(side))
    hand, reference = read_mano_hand(path), default_hand(side)
    assert hand.side == side
    distance = (hand.keypoint_regressor - reference.keypoint_regressor) @ reference.template
    # The end of a finger instead of its pad is off by half of the finger's thickness at most.
    assert torch.linalg.vector_norm(distance, dim=1).max() < 7e-3


def test_fingertips_of_official_files_are_the_published_vertices(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    # The official mesh has 778 vertices and 1538 faces; what they are does not matter here.
    parents = np.array([4294967295, *MANO_PARENTS[1:]])
    arrays = {
        "v_template": generator.normal(size=(778, 3)),
        "f": generator.integers(0, 778, (1538, 3)).astype(np.uint32),
        "weights": np.eye(16)[np.arange(778) % 16],
        "shapedirs": generator.normal(size=(778, 3, 10)),
        "posedirs": generator.normal(size=(778, 3, 135)),
        "J_regressor": np.full((16, 778), 1 / 778),
        "kintree_table": np.stack([parents, np.arange(16)]),
        "hands_mean": np.zeros(45),
    }
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", arrays)
    tips = read_mano_hand(tmp_path / "MANO_RIGHT.pkl").keypoint_regressor[[4, 8, 12, 16, 20]]
    # Thumb, index, middle, ring and pinky as smplx publishes them.
    assert tips.argmax(dim=1).tolist() == [744, 320, 443, 554, 671]
    assert torch.equal(tips.sum(dim=1), torch.ones(5))


def test_a_folder_and_the_other_side(tmp_path: Path) -> None:
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", mano_arrays("right"))
    assert load_hand(tmp_path, "right").side == "right"
    mirrored = load_hand(tmp_path / "MANO_RIGHT.pkl", "left")
    torch.testing.assert_close(mirrored.template, default_hand("left").template)
    with pytest.raises(HandsError, match=r"MANO_LEFT\.pkl"):
        load_hand(tmp_path, "left")


def test_mean_pose_is_explicit(tmp_path: Path) -> None:
    arrays = mano_arrays()
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", arrays)
    hand = load_hand(tmp_path, "right")
    pose = torch.randn(2, 15, 3)
    flat = relative_to_flat(hand, pose)
    np.testing.assert_allclose((flat - pose)[1].numpy().ravel(), arrays["hands_mean"], atol=1e-6)
    torch.testing.assert_close(relative_to_mean(hand, flat), pose)


def test_planar_texture_shows_both_sides_apart() -> None:
    hand = default_hand("right")
    uv = planar_uv(hand.template, hand.faces)
    assert uv.min() >= 0 and uv.max() <= 1
    column = uv[..., 0] > 0.5
    # No triangle reaches across the gap between the two views.
    assert (column.all(dim=1) | ~column.any(dim=1)).all()
    assert 0.3 < column.float().mean() < 0.7
