"""What a reader sees of a file while it is written, and after that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from nerfstudio_hands.files.atomic import written_whole


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path):
    file = tmp_path / "kept.txt"
    file.write_text("old")
    with written_whole(file, suffix=".txt") as temporary:
        assert temporary.suffix == ".txt" and temporary.parent == tmp_path
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_an_interruption_leaves_what_was_there(tmp_path: Path):
    file = tmp_path / "kept.txt"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_whole(file) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_two_writers_do_not_meet(tmp_path: Path):
    with written_whole(tmp_path / "a.txt") as first, written_whole(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first"
