"""The reader of official MANO files, on made-up files written byte by byte as Python 2 wrote them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from helpers import python2_pickle
from helpers.made_up_hands import mano_arrays, write_mano_file
from helpers.python2_pickle import Call, Global

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.array_pickle import read_array_pickle
from nerfstudio_hands.hand_model import MANO_PARENTS, default_hand, load_hand
from nerfstudio_hands.hand_model.mano_file import planar_uv, read_mano_hand, relative_to_flat


def test_arrays_come_back_as_written(tmp_path: Path) -> None:
    arrays = mano_arrays()
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", arrays)
    read = read_array_pickle(tmp_path / "MANO_RIGHT.pkl")
    assert read.keys() == arrays.keys()
    for key, value in arrays.items():
        np.testing.assert_array_equal(read[key], value, err_msg=key)


def test_python2s_set_is_read(tmp_path: Path) -> None:
    path = tmp_path / "set.pkl"
    path.write_bytes(python2_pickle.dumps({"a": np.arange(3.0), "b": Call(Global("__builtin__", "set"), ((1, 2),))}))
    np.testing.assert_array_equal(read_array_pickle(path)["a"], [0.0, 1.0, 2.0])


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


def test_an_array_of_objects_is_left_out(tmp_path: Path) -> None:
    dtype = Call(Global("numpy", "dtype"), ("O8", 0, 1), state=(3, "|", None, None, None, -1, -1, 63))
    array = Call(
        Global("numpy.core.multiarray", "_reconstruct"),
        (Global("numpy", "ndarray"), (0,), "b"),
        state=(1, (1,), dtype, False, ("a",)),
    )
    path = tmp_path / "objects.pkl"
    path.write_bytes(python2_pickle.dumps({"f": array}))
    assert read_array_pickle(path) == {}
    with pytest.raises(HandsError, match=r"a MANO hand needs .*, f, .* which the file lacks"):
        read_mano_hand(path)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("kintree_table", lambda a: np.stack([np.arange(24) - 1, np.arange(24)]), "not a body"),
        ("J_regressor", lambda a: a[:, :-1], "J_regressor"),
        ("weights", lambda a: 2 * a, "sum to 1"),
        ("weights", lambda a: a[:, :12], "weights"),
        ("v_template", lambda a: a * np.nan, "finite"),
        ("v_template", lambda a: a * 1000, "a hand in metres, .* found one of"),
        ("v_template", lambda a: a * 1e-12, "a hand in metres, .* found one of"),
        ("shapedirs", lambda a: a * 1e12, "up to 1 in shape_dirs"),
        ("hands_mean", lambda a: a + 1e12, "up to 100 in hands_mean"),
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
        "v_template": 0.05 * generator.normal(size=(778, 3)),
        "f": generator.integers(0, 778, (1538, 3)).astype(np.uint32),
        "weights": np.eye(16)[np.arange(778) % 16],
        "shapedirs": 0.01 * generator.normal(size=(778, 3, 10)),
        "posedirs": 0.01 * generator.normal(size=(778, 3, 135)),
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
    torch.testing.assert_close(load_hand(tmp_path, "left").template, default_hand("left").template)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HandsError, match=r"empty/MANO_LEFT\.pkl"):
        load_hand(tmp_path / "empty", "left")


@pytest.mark.parametrize("above", ["", "models", "mano_v1_2/models"])
def test_a_folder_above_the_files_is_looked_into(tmp_path: Path, above: str) -> None:
    (tmp_path / above).mkdir(parents=True, exist_ok=True)
    for side in ("left", "right"):
        write_mano_file(tmp_path / above / f"MANO_{side.upper()}.pkl", mano_arrays(side))
    for side in ("left", "right"):
        assert load_hand(tmp_path, side).name == f"mano-{side}"


def python3_arrays(form: str) -> dict:
    """What a Python 3 program hands to pickle that read an official file: arrays, a sparse or a dense regressor."""
    arrays = mano_arrays()
    arrays["posedirs"] = np.asfortranarray(arrays["posedirs"])
    arrays["weights"] = np.repeat(arrays["weights"], 2, axis=0)[::2]  # Not contiguous.
    make = {"dense": np.asarray, "csc": scipy.sparse.csc_matrix, "csr": scipy.sparse.csr_array}
    make["coo"] = scipy.sparse.coo_matrix
    return arrays | {
        "J_regressor": make[form](arrays["J_regressor"]),
        "bs_type": "lrotmin",
        "names": {"wrist"},
        "scale": np.float64(1.0),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["dense", "csc", "csr", "coo"])
def test_a_file_that_python_3_saved_again_is_read(tmp_path: Path, protocol: int, form: str) -> None:
    content = python3_arrays(form)
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_array_pickle(tmp_path / "MANO_RIGHT.pkl")
    for key, value in mano_arrays().items():
        np.testing.assert_array_equal(read[key], value, err_msg=key)
    assert read_mano_hand(tmp_path / "MANO_RIGHT.pkl").side == "right"


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_names_of_numpy_1_and_2_are_read(tmp_path: Path, core: str) -> None:
    stored = pickle.dumps({"a": np.arange(6.0).reshape(2, 3)}, protocol=3)
    for ours in (b"numpy.core.", b"numpy._core."):
        stored = stored.replace(ours, f"{core}.".encode())
    (tmp_path / "a.pkl").write_bytes(stored)
    np.testing.assert_array_equal(read_array_pickle(tmp_path / "a.pkl")["a"], np.arange(6.0).reshape(2, 3))


def write_uv(path: Path, faces: np.ndarray, uv: np.ndarray) -> None:
    """An .obj of faces that start at their second corner, in reverse order, each with texture corners of its own."""
    lines = [f"v 0 0 {index}" for index in range(faces.max() + 1)]
    lines += [f"vt {u} {v}" for u, v in uv.reshape(-1, 2)]
    for index, face in reversed(list(enumerate(faces))):
        corners = [f"{face[c] + 1}/{3 * index + c + 1}" for c in (1, 2, 0)]
        lines.append(f"f {' '.join(corners)}")
    path.write_text("\n".join(lines))


def test_texture_coordinates_beside_the_file_are_used(tmp_path: Path) -> None:
    arrays = mano_arrays()
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", arrays)
    uv = np.random.default_rng(0).random((len(arrays["f"]), 3, 2))
    write_uv(tmp_path / "MANO_UV_left.obj", arrays["f"][:5].astype(int), uv[:5])
    torch.testing.assert_close(
        read_mano_hand(tmp_path / "MANO_RIGHT.pkl").uv,
        planar_uv(torch.from_numpy(arrays["v_template"]).float(), torch.from_numpy(arrays["f"].astype(np.int64))),
    )
    write_uv(tmp_path / "MANO_UV_right.obj", arrays["f"].astype(int), uv)
    torch.testing.assert_close(read_mano_hand(tmp_path / "MANO_RIGHT.pkl").uv, torch.from_numpy(uv).float())
    write_uv(tmp_path / "MANO_UV_right.obj", arrays["f"][1:].astype(int), uv[1:])
    with pytest.raises(HandsError, match=r"UV_right.obj: expected .* coordinates, found none for 1 of \d+ faces:"):
        read_mano_hand(tmp_path / "MANO_RIGHT.pkl")


def test_mean_pose_is_explicit(tmp_path: Path) -> None:
    arrays = mano_arrays()
    write_mano_file(tmp_path / "MANO_RIGHT.pkl", arrays)
    hand = load_hand(tmp_path, "right")
    pose = torch.randn(2, 15, 3)
    flat = relative_to_flat(hand, pose)
    np.testing.assert_allclose((flat - pose)[1].numpy().ravel(), arrays["hands_mean"], atol=1e-6)


def test_planar_texture_shows_both_sides_apart() -> None:
    hand = default_hand("right")
    uv = planar_uv(hand.template, hand.faces)
    assert uv.min() >= 0 and uv.max() <= 1
    column = uv[..., 0] > 0.5
    # No triangle reaches across the gap between the two views.
    assert (column.all(dim=1) | ~column.any(dim=1)).all()
    assert 0.3 < column.float().mean() < 0.7
