"""Which cameras train, by the names that the files have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.dataparsers.capture import Capture, CaptureCamera
from nerfstudio_hands.dataparsers.splits import choose_cameras
from nerfstudio_hands.errors import HandsError

NAMES = [f"{k:02d}" for k in range(9)]


@pytest.fixture
def capture() -> Capture:
    """Nine cameras; the last has calibration but no pictures."""
    cameras = [CaptureCamera(name, np.eye(3), np.eye(4), 64, 48) for name in NAMES]
    return Capture(
        root=Path("scan"),
        cameras=cameras,
        frames=["1"],
        images={("1", name): Path(f"{name}.png") for name in NAMES[:-1]},
        masks={},
        detections=np.full((1, 9, 2, 21, 2), np.nan),
        problems=[],
    )


def split(capture: Capture, cameras=None, exclude=(), held_out=None):
    return choose_cameras(capture, cameras=cameras, exclude=exclude, held_out=held_out)


def test_held_out_by_name(capture):
    train, held_out = split(capture, held_out=("03", "05"))
    assert held_out == ["03", "05"] and train == ["00", "01", "02", "04", "06", "07"]


def test_every_seventh_by_default_and_none_on_request(capture):
    assert split(capture)[1] == ["03"]
    assert split(capture, held_out=()) == (NAMES[:-1], [])


def test_left_out_and_chosen(capture):
    assert split(capture, exclude=("01",), held_out=("00",))[0] == NAMES[2:-1]
    assert split(capture, cameras=("01", "02"), held_out=("00",)) == (["01", "02"], ["00"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"held_out": ("3",)}, "--eval-cameras.*found 3"),
        ({"exclude": ("x",)}, "--exclude-cameras.*found x"),
        ({"held_out": ("08",)}, "with pictures.*08"),
        ({"held_out": tuple(NAMES[:-1])}, "at least one training camera"),
    ],
)
def test_wrong_names_are_said(capture, options, said):
    with pytest.raises(HandsError, match=said):
        split(capture, **options)
