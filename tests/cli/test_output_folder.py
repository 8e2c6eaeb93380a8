from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nerfstudio_hands.cli.animate import animate
from nerfstudio_hands.cli.export import export
from nerfstudio_hands.cli.output_folder import (
    check_can_be_made,
    check_new_video,
    prepare_output_folder,
    write_bytes,
    write_image,
)
from nerfstudio_hands.cli.turntable import turntable
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose, default_hand
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.motion.track_file import save_track


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


def test_what_cannot_be_made_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        with pytest.raises(HandsError, match=r"--output-dir: .* found a file at .*/file: give another --output-dir"):
            check_can_be_made(folder, "--output-dir")
    check_can_be_made(tmp_path / "a" / "b", "--output-dir")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_video_replaces_a_file_only_if_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"mine")
    with pytest.raises(HandsError, match=r"mine.mp4: expected a new video file, .* --overwrite"):
        check_new_video(mine, overwrite=False)
    check_new_video(mine, overwrite=True)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(HandsError, match=r"folder.mp4: expected a new video file"):
        check_new_video(tmp_path / "folder.mp4", overwrite=True)
    with pytest.raises(HandsError, match="found a file at"):
        check_new_video(mine / "below.mp4", overwrite=True)
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("command", [turntable, animate])
def test_commands_refuse_outputs_before_they_load_the_run(command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("nerfstudio_hands.cli.trained_run.load_run", lambda *_, **__: pytest.fail("the run was loaded"))
    config, mine = tmp_path / "config.yml", tmp_path / "mine.mp4"
    config.write_text("")
    mine.write_bytes(b"mine")
    for output in (mine, mine / "below.mp4"):
        with pytest.raises(HandsError, match="mine.mp4"):
            command(config, output)
    assert mine.read_bytes() == b"mine"


def test_export_refuses_a_file_where_it_wants_a_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("nerfstudio_hands.cli.trained_run.load_run", lambda *_, **__: pytest.fail("the run was loaded"))
    config = tmp_path / "config.yml"
    config.write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sequence").write_text("mine")
    with pytest.raises(HandsError, match="found a file at .*/sequence"):
        export(config, tmp_path / "out", sequence="obj")
    with pytest.raises(HandsError, match="found a file at .*/sequence"):
        export(config, tmp_path / "out" / "sequence" / "below")
    with pytest.raises(HandsError, match="--track: expected --rigged or --sequence"):
        export(config, tmp_path / "out", track=config)


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


def test_images_are_written_as_rgb(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 200
    write_image(tmp_path / "red.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "red.png")), picture)


def loaded_run(capture: Path) -> tuple[SimpleNamespace, SimpleNamespace]:
    """As much of a run of the right hand as commands look at before they render."""
    hand, pose = default_hand("right"), HandPose.rest(1, (1,))
    hands = SimpleNamespace(
        surface=SimpleNamespace(sides=("right",), hands=(hand,)),
        num_frames=1,
        valid=pose.valid,
        pose_of=lambda frames: pose[frames],
        reference=lambda: pose[0],
        world_transform=torch.eye(3, 4),
    )
    data = SimpleNamespace(dataparser=SimpleNamespace(data=capture))
    config = SimpleNamespace(pipeline=SimpleNamespace(datamanager=data, source=data.dataparser))
    return config, SimpleNamespace(model=SimpleNamespace(hands=hands, device="cpu"), datamanager=data)


@pytest.mark.parametrize("command", [turntable, animate])
def test_videos_are_not_written_into_the_capture(command, tmp_path: Path, monkeypatch) -> None:
    config, capture = tmp_path / "config.yml", tmp_path / "capture"
    config.write_text("")
    capture.mkdir()
    monkeypatch.setattr("nerfstudio_hands.cli.trained_run.load_run", lambda *_, **__: loaded_run(capture))
    with pytest.raises(HandsError, match="outside of the capture"):
        command(config, capture / "videos" / "a.mp4")
    assert not list(capture.iterdir())


def test_a_track_of_the_other_hand_alone_is_refused(tmp_path: Path, monkeypatch) -> None:
    config, track = tmp_path / "config.yml", tmp_path / "left.npz"
    config.write_text("")
    save_track(track, PoseTrack.of_frames(HandPose.rest(1, (2,)), ("left",), fps=5))
    monkeypatch.setattr("nerfstudio_hands.cli.trained_run.load_run", lambda *_, **__: loaded_run(tmp_path / "capture"))
    for options in ({"rigged": True}, {"sequence": "obj"}):
        with pytest.raises(HandsError, match="expected poses of the right hand, .* found only the left hand"):
            export(config, tmp_path / "out", track=track, **options)
    assert not (tmp_path / "out").exists()
