from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerfstudio_hands.cli.output_folder import prepare_output_folder, write_bytes, write_picture
from nerfstudio_hands.errors import HandsError


def test_refuses_a_folder_inside_of_the_capture(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    capture.mkdir()
    (tmp_path / "link").symlink_to(capture)
    for folder in (capture, capture / "check", tmp_path / "link" / "check"):
        with pytest.raises(HandsError, match="outside of the capture"):
            prepare_output_folder(folder, keep_out_of=capture)
    assert list(capture.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(HandsError, match=r"out: expected a place to write output, found 'File exists'"):
        prepare_output_folder(tmp_path / "out", keep_out_of=tmp_path / "capture")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    write_bytes(path, b"old")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HandsError, match=r"report.json: .* found 'No space left on device'"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_pictures_are_written_as_rgb(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 200
    write_picture(tmp_path / "red.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "red.png")), picture)
