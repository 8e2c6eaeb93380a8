"""Arrays on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.npz_writing import write_npz


def test_whoever_may_read_other_new_files_may_read_these(tmp_path: Path):
    (tmp_path / "other").touch()
    write_npz(tmp_path / "run" / "hands.npz", {"a": np.arange(3)}, expected="to write")
    assert (tmp_path / "run" / "hands.npz").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["hands.npz"]
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "hands.npz")["a"], np.arange(3))


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(HandsError, match="taken.npz: expected to write, found '"):
        write_npz(tmp_path / "taken.npz", {"a": np.arange(3)}, expected="to write")
    (tmp_path / "file").touch()
    with pytest.raises(HandsError, match="expected to write, found '"):
        write_npz(tmp_path / "file" / "hands.npz", {"a": np.arange(3)}, expected="to write")
    assert {path.name for path in tmp_path.iterdir()} == {"taken.npz", "file"}
