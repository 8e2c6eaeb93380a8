"""Videos as FFmpeg writes them, against what FFmpeg itself shows of them."""

from __future__ import annotations

import gc
import resource
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.video_reading import read_video, read_video_header


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of 64x48, a tenth of a second each."""
    path = tmp_path_factory.mktemp("video") / "level.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=1", "-pix_fmt", "yuv420p", "-bf", "0", path)
    return path


def test_images_come_with_their_times(video: Path) -> None:
    pictures = list(read_video(video))
    assert [picture.image.shape for picture in pictures] == [(48, 64, 3)] * 10
    np.testing.assert_allclose([picture.seconds for picture in pictures], np.arange(10) / 10)
    header = read_video_header(video)
    assert header.count == 10 and header.fps == 10


@pytest.mark.parametrize("turn", [("90",), ("180",), ("270",), ("90", "-display_hflip"), ("0", "-display_hflip")])
def test_a_turned_video_is_upright_as_players_show_it(video: Path, tmp_path: Path, turn: tuple[str, ...]) -> None:
    degrees, *mirror = turn
    ffmpeg("-display_rotation", degrees, *mirror, "-i", video, "-c", "copy", tmp_path / "turned.mp4")
    ffmpeg("-i", tmp_path / "turned.mp4", "-frames:v", "1", tmp_path / "shown.png")
    shown = np.asarray(Image.open(tmp_path / "shown.png").convert("RGB")).astype(int)
    image = next(iter(read_video(tmp_path / "turned.mp4"))).image
    assert image.shape == shown.shape
    assert np.abs(image - shown).mean() < 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say how much memory is held")
def test_pictures_that_are_done_with_hold_no_memory(tmp_path: Path) -> None:
    """Not even until Python looks for objects that hold each other."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=1280x720:rate=25:duration=8", "-pix_fmt", "yuv420p", tmp_path / "hd.mp4")

    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    pictures = read_video(tmp_path / "hd.mp4")
    next(pictures)
    gc.collect()
    gc.disable()
    try:
        before = megabytes()
        assert sum(1 for _ in pictures) == 199
        assert megabytes() - before < 100
    finally:
        gc.enable()


def test_uneven_images_keep_their_times(video: Path, tmp_path: Path) -> None:
    ffmpeg("-i", video, "-vf", "select=not(mod(n\\,3))+eq(n\\,1)", "-fps_mode", "vfr", tmp_path / "uneven.mp4")
    times = [picture.seconds for picture in read_video(tmp_path / "uneven.mp4")]
    np.testing.assert_allclose(times, [0, 0.1, 0.3, 0.6, 0.9])


def test_one_sentence_for_what_is_no_video(video: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:1500])
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", tmp_path / "sound.mp4")
    for name, found in (("cut", "."), ("text", "Invalid data"), ("sound", "no pictures"), ("absent", "no such file")):
        with pytest.raises(HandsError, match=found) as raised:
            next(read_video(tmp_path / f"{name}.mp4"))
        assert f"{name}.mp4" in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(HandsError, match="expected a video"):
        next(read_video(tmp_path / "list.m3u8"))


def test_a_video_that_breaks_says_when(video: Path, tmp_path: Path) -> None:
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 4
    middle = start + (len(content) - start) // 2
    content[middle : middle + 600] = bytes(600)
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(HandsError, match=r"decodes to its end, .* after \d\.\d\d s"):
        list(read_video(tmp_path / "broken.mp4"))
