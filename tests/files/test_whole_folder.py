from __future__ import annotations

from pathlib import Path

import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.whole_folder import Pieces, made_whole, whole_folder


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


@made_whole
def _letters(root: Path, words: str, *, closed: list[str]) -> Pieces:
    """Writes letters."""
    try:
        for letter in words:
            (root / letter).write_text(letter)
            yield
        (root / "end").write_text("")
    finally:
        closed.append(f"with {len(list(root.iterdir()))} files")


def test_files_are_there_in_the_end_and_pieces_are_counted(tmp_path: Path):
    counts, closed = [], []
    made = _letters(tmp_path / "word", "abc", closed=closed, progress=counts.append)
    assert made == tmp_path / "word" and counts == [1, 2, 3] and closed == ["with 4 files"]
    assert sorted(path.name for path in made.iterdir()) == ["a", "b", "c", "end"]
    with pytest.raises(HandsError, match="expected a folder that does not exist yet"):
        _letters(made, "d", closed=closed)
    assert _letters.__doc__ == "Writes letters." and list(tmp_path.iterdir()) == [made]


def test_an_interruption_ends_the_generator_and_then_leaves_nothing(tmp_path: Path):
    closed = []

    def interrupt(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _letters(tmp_path / "word", "abc", closed=closed, progress=interrupt)
    # What a generator has going on ends before its folder goes: it still had its files.
    assert closed == ["with 2 files"] and not list(tmp_path.iterdir())
