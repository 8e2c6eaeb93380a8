from __future__ import annotations

from pathlib import Path

import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import whole_folder


def test_what_the_user_has_beside_the_output_stays(tmp_path: Path) -> None:
    mine = tmp_path / ".room.partial"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with whole_folder(tmp_path / "room") as partial:
        (partial / "made.txt").write_text("made")
    assert (mine / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "room" / "made.txt").read_text() == "made"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".room.partial", "room"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "room") as partial:
        (partial / "made.txt").write_text("made")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HandsError, match=r"room: expected a place to write a capture"):
        with whole_folder(tmp_path / "file" / "room"):
            pytest.fail("there is no place to write")
    assert (tmp_path / "file").read_text() == "mine"
