"""Detections take the place of all labels."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.detections import DetectedHandImages, Detections, read_detections
from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.hand_images.image_files import read_rgb
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions


def noisy_detections(labels: Iterator[HandLabels], deviation: float, seed: int) -> Detections:
    """Detections as a detector might have made them: heavy-tailed errors, and less confidence where these are larger.

    Args:
        labels: True ones.
        deviation: Median error in parts of the hand's size.
        seed: Of the errors.
    """
    rng, pixels, confidence = np.random.default_rng(seed), [], []
    for one in labels:
        truth = np.asarray(one.pixels, np.float64)
        size = np.ptp(truth, axis=0).max()
        error = deviation * size * np.abs(rng.standard_t(2, 21)) / 0.82
        direction = rng.uniform(0, 2 * np.pi, 21)
        pixels.append(truth + error[:, None] * np.stack([np.cos(direction), np.sin(direction)], 1))
        certain = np.exp(-error / (2 * deviation * size)) if deviation else np.ones(21)
        confidence.append(np.clip(certain * rng.uniform(0.7, 1.0, 21), 0.05, 1.0))
    return Detections(np.array(pixels, np.float32), np.array(confidence, np.float32))


def write_detections(path: Path, detections: Detections) -> None:
    """Writes what `read_detections` reads."""
    path.write_text(json.dumps([detections.pixels.tolist(), detections.confidence.tolist()]), "utf8")


@pytest.fixture(scope="module")
def source() -> SyntheticHands:
    return SyntheticHands(SyntheticHandsOptions(count=6, people=1, size=64))


def test_a_training_on_detections_knows_nothing_else(source, tmp_path):
    labels = [source.labels(index) for index in range(6)]
    detections = noisy_detections(iter(labels), 0.05, 1)
    write_detections(tmp_path / "found.json", detections)
    seen = DetectedHandImages(source, read_detections(tmp_path / "found.json"))
    picture = seen.read(2)
    assert picture.labels.joints is None and picture.labels.vertices is None and picture.mask is None
    np.testing.assert_array_equal(picture.labels.pixels, detections.pixels[2])
    errors = np.linalg.norm(detections.pixels - np.stack([one.pixels for one in labels]), axis=-1)
    # A detector is less sure where it is wrong.
    large, small = errors > np.median(errors), errors < np.median(errors)
    assert detections.confidence[large].mean() < 0.7 * detections.confidence[small].mean()


def test_other_files_and_other_numbers_are_named(source, tmp_path):
    path = tmp_path / "found.json"
    with pytest.raises(HandsError, match="found.json: expected detections.*no such file"):
        read_detections(path)
    for content in ("[1, 2", "{}", "[[[1, 2]], [[1]]]"):
        path.write_text(content)
        with pytest.raises(HandsError, match="found.json: expected detections, a JSON list"):
            read_detections(path)
    path.write_text(json.dumps([np.zeros((5, 21, 2)).tolist(), np.ones((5, 21, 1)).tolist()]))
    with pytest.raises(HandsError, match="expected those of the 6 pictures of .*, found 5"):
        DetectedHandImages(source, read_detections(path))


def test_what_is_no_list_is_refused_and_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, found in (("pipe", "a named pipe"), ("deep", "lists within lists without end"), ("none", "no such file")):
        with pytest.raises(HandsError, match=f"{name}.json: expected detections, .* found '{found}'"):
            read_detections(tmp_path / f"{name}.json")


def test_a_picture_whose_header_claims_what_no_memory_holds(tmp_path: Path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "forged.png").write_bytes(png + bytes(100))
    with pytest.raises(HandsError, match="forged.png: expected a picture, found a file that is no picture"):
        read_rgb(tmp_path / "forged.png")
