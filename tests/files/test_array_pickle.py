"""Pickled dictionaries: what is numbers is read, the rest left out, and nothing that a file claims is believed."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.sparse
import torch

from nerfstudio_hands.files import array_pickle
from nerfstudio_hands.files.array_pickle import read_array_pickle, read_named_arrays, read_pickled_text
from nerfstudio_hands.files.guarded_files import UnreadableFile


def written(path: Path, content: object, protocol: int = 5) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numbers_of_every_form_are_read_and_the_rest_is_left_out(tmp_path: Path, protocol: int) -> None:
    frames = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    content = {
        "array": frames.transpose(2, 1, 0),
        "list of arrays": list(frames),
        "tuple of numbers": (1, 2.5, np.float32(4)),
        "rate": np.float64(29.97),
        "count": np.int32(7),
        "flag": True,
        "inner": {"betas": np.arange(10), "rate": 1.0},
        "names": np.array(["a", "b"]),
        "objects": np.array([None, 1], dtype=object),
        "path": "a.png",
        "none": None,
        "ragged": [np.zeros(2), np.zeros(3)],
        "nested": [[1, 2], [3, 4]],
        "empty": [],
        "huge": 10**40,
    }
    read = read_array_pickle(written(tmp_path / "a.pkl", content, protocol))
    expected = {name: np.array(content[name]) for name in ("array", "list of arrays", "rate", "count", "flag")}
    expected |= {"tuple of numbers": np.array([1, 2.5, 4]), "betas": np.arange(10)}
    assert read.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(read[name], values, err_msg=name)
        assert read[name].dtype.kind == values.dtype.kind


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_are_read_as_arrays(tmp_path: Path, protocol: int) -> None:
    numbers = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        "turned": numbers.transpose(0, 2),
        "part": numbers[1, :, 1:3],
        "one": torch.tensor(7),
        "half": torch.tensor([1.5, 2.5], dtype=torch.float16),
        "mask": torch.tensor([True, False]),
    }
    path = written(tmp_path / "a.pkl", {**tensors, "inner": {"deep": numbers}}, protocol)
    read = read_named_arrays(path, [*tensors, "inner/deep", "inner/none"])
    assert read.keys() == {*tensors, "inner/deep"}
    for name, values in {**tensors, "inner/deep": numbers}.items():
        np.testing.assert_array_equal(read[name], values.numpy(), err_msg=name)
        assert read[name].dtype == values.numpy().dtype
    # One number in the file would become as many as the file claims.
    with pytest.raises(UnreadableFile, match="a tensor of"):
        read_array_pickle(written(tmp_path / "b.pkl", {"expanded": torch.ones(1).expand(5)}, protocol))


def test_text_is_read_in_lines(tmp_path: Path) -> None:
    assert read_pickled_text(written(tmp_path / "a.pkl", ["vt 0 1\n", "f 1/1"])).split() == ["vt", "0", "1", "f", "1/1"]
    for other in ({"a": "b"}, ["a", 1], 3):
        with pytest.raises(UnreadableFile, match="instead of text"):
            read_pickled_text(written(tmp_path / "b.pkl", other))


@pytest.mark.parametrize(
    "compress", [("zlib", 1), ("zlib", 3), ("zlib", 9), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)]
)
def test_what_joblib_compressed_is_called_so(tmp_path: Path, compress: tuple[str, int]) -> None:
    joblib.dump({"a": np.zeros(1000)}, tmp_path / "a.pkl", compress=compress)
    with pytest.raises(UnreadableFile, match=r"a compressed file, as joblib\.dump writes it"):
        read_array_pickle(tmp_path / "a.pkl")


def test_what_joblib_left_uncompressed_names_it(tmp_path: Path) -> None:
    joblib.dump({"a": np.zeros(1000)}, tmp_path / "a.pkl")
    with pytest.raises(UnreadableFile, match=r"'joblib\.numpy_pickle'"):
        read_array_pickle(tmp_path / "a.pkl")


def same_many_times(size: int, times: int) -> dict:
    array = np.zeros(size)
    return {"a": [array] * times}


def sparse(side: int) -> dict:
    return {"a": scipy.sparse.coo_matrix(([1.0], ([0], [0])), shape=(side, side))}


@pytest.mark.parametrize(
    "content",
    [
        same_many_times(2000, 2000),
        {str(key): array for array in [np.zeros(2000)] for key in range(2000)},
        sparse(2000),
        {str(key): matrix for matrix in sparse(900).values() for key in range(4)},
    ],
    ids=["list", "keys", "sparse", "sparse keys"],
)
def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, monkeypatch, content: dict) -> None:
    monkeypatch.setattr(array_pickle, "_MAX_NUMBERS", 10**6)
    path = written(tmp_path / "a.pkl", content)
    assert path.stat().st_size < 10**5
    tracemalloc.start()
    with pytest.raises(UnreadableFile, match="more than 1000000 numbers"):
        read_array_pickle(path)
    assert tracemalloc.get_traced_memory()[1] < 3 * 8 * 10**6
    tracemalloc.stop()


def test_claimed_bytes_are_not_set_aside(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05" + pickle.BYTEARRAY8 + struct.pack("<Q", 10**9) + b"abc.")
    tracemalloc.start()
    with pytest.raises(UnreadableFile, match="broken pickle"):
        read_array_pickle(tmp_path / "a.pkl")
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
