"""The file of crops: what is written comes back, whatever happens in between."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.datamanagers.crop_cache import (
    IGNORED,
    IN_INNER,
    IN_MASK,
    IN_REGION,
    LABEL,
    NEAR_HAND,
    CropCache,
    CropWriter,
)
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.labels import PixelLabel


def crop(number: int, height: int = 20, width: int = 30) -> np.ndarray:
    values = np.random.default_rng(number).integers(0, 256, (height, width, 4), dtype=np.uint8)
    values[..., 3] %= 128
    values[values[..., 3] & LABEL == 3, 3] = 0
    return values


def add(writer: CropWriter, number: int, **size) -> None:
    writer.add(
        image=number, frame=number // 2, source=MaskSource.GRABCUT, pixels=crop(number, **size), top=number, left=2
    )


def test_crops_come_back(tmp_path: Path):
    writer = CropWriter(tmp_path / "a.npz")
    sizes = [(20, 30), (0, 0), (700, 611), (1, 3)]  # Crops of none, one and many pages of the file.
    for number, (height, width) in enumerate(sizes):
        add(writer, number, height=height, width=width)
    writer.finish()
    crops = CropCache(writer.path)
    for number, (height, width) in enumerate(sizes):
        truth, found = crop(number, height, width), crops.crop(number)
        assert np.array_equal(found.pixels, truth) and (found.top, found.left) == (
            number * (height > 0),
            2 * (height > 0),
        )
        assert crops.index[number]["num_hand"] == ((truth[..., 3] & LABEL) == PixelLabel.HAND).sum() == len(found.hand)
        assert crops.index[number]["num_background"] == ((truth[..., 3] & NEAR_HAND) > 0).sum() == len(found.background)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".bytes", ".npz"]


def test_labels_of_the_whole_image(tmp_path: Path):
    writer = CropWriter(tmp_path / "a.npz")
    writer.add(image=0, frame=0, source=MaskSource.GRABCUT, pixels=crop(5), top=7, left=9)
    writer.finish()
    found = CropCache(writer.path).labels(0, 40, 60)
    label, mask, region, ignored, inner = found.label, found.mask, found.region, found.ignored, found.inner
    flags, box = crop(5)[..., 3], np.s_[7:27, 9:39]
    assert np.array_equal(label[box], flags & LABEL)
    for pixels, bit in ((mask, IN_MASK), (region, IN_REGION), (ignored, IGNORED), (inner, IN_INNER)):
        assert np.array_equal(pixels[box], (flags & bit) > 0)
    outside = np.ones((40, 60), dtype=bool)
    outside[box] = False
    assert (label[outside] == PixelLabel.IGNORE).all()
    assert not any(pixels[outside].any() for pixels in (mask, region, ignored, inner))


@pytest.mark.parametrize("torn", ["crops", "account", "neither"])
def test_an_interrupted_writer_goes_on(tmp_path: Path, torn: str):
    writer = CropWriter(tmp_path / "a.npz")
    for number in range(3):
        add(writer, number)
    writer.close()
    if torn != "neither":
        file = tmp_path / ("a.bytes" if torn == "crops" else "a.rows")
        file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(HandsError, match="a.npz"):
        CropCache(writer.path)
    again = CropWriter(tmp_path / "a.npz")
    assert len(again.index) == (3 if torn == "neither" else 2)
    for number in range(len(again.index), 5):
        add(again, number)
    again.finish()
    crops = CropCache(again.path)
    assert crops.index["image"].tolist() == list(range(5))
    assert all(np.array_equal(crops.crop(number).pixels, crop(number)) for number in range(5))


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, monkeypatch):
    writer = CropWriter(tmp_path / "a.npz")
    add(writer, 0)

    class FullDisk:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(writer, "_crops", FullDisk())
        with pytest.raises(HandsError, match="No space left on device.*NERFSTUDIO_HANDS_CACHE"):
            add(writer, 1)
    writer.close()
    assert len(CropWriter(tmp_path / "a.npz").index) == 1


def test_files_of_another_kind_are_named(tmp_path: Path):
    for content in (b"", b"no index"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(HandsError, match="a.npz"):
            CropCache(tmp_path / "a.npz")
    writer = CropWriter(tmp_path / "b.npz")
    add(writer, 0)
    writer.finish()
    (tmp_path / "b.bytes").write_bytes(b"short")
    with pytest.raises(HandsError, match="found 5"):
        CropCache(tmp_path / "b.npz")


def test_reading_does_not_keep_the_file_in_memory(tmp_path: Path):
    status = Path("/proc/self/status")
    if not status.exists() or "RssFile" not in status.read_text():
        pytest.skip("this system does not tell which pages of a file are resident")

    def mapped() -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssFile"))

    writer = CropWriter(tmp_path / "a.npz")
    for number in range(100):
        writer.add(
            image=number, frame=0, source=MaskSource.GRABCUT, pixels=np.zeros((500, 500, 4), np.uint8), top=0, left=0
        )
    writer.finish()
    crops = CropCache(writer.path)
    before = mapped()
    for number in range(100):
        crops.crop(number)
    assert mapped() - before < 20_000  # of 100,000 kB that were read
