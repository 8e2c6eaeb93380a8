"""A capture whose calibration follows another convention: the fit's sentence names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.captures.misread import misread
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting import FitOptions
from nerfstudio_hands.fitting.fit import fit_capture

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "millimetres": (lambda m: np.diag([1, 1, 1, 1e-3]) @ m @ np.diag([1, 1, 1, 1e3]), "its unit is millimetres"),
    "camera-to-world": (np.linalg.inv, "its transforms are camera-to-world:"),
    "axes of OpenGL": (lambda m: FLIP @ m, "its camera axes are OpenGL's"),
    "nerfstudio's": (lambda m: np.linalg.inv(FLIP @ m), "its transforms are camera-to-world with OpenGL's axes"),
}


def misread_copy(capture: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    shutil.copytree(capture, folder)
    with np.load(capture / "camera" / "param.npz") as archive:
        arrays = {key: archive[key].astype(float) for key in archive.files if not key.startswith("world")}
    np.savez(folder / "camera" / "param.npz", **{k: change(a) if k.startswith("ext") else a for k, a in arrays.items()})
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_the_convention_is_named(demo_capture: Path, tmp_path: Path, name: str):
    change, named = CHANGES[name]
    capture = read_capture(misread_copy(demo_capture, tmp_path / "1", change))
    with pytest.raises(HandsError) as error:
        fit_capture(capture, FitOptions(tuple(capture.cameras_with_images)))
    assert named in str(error.value) and "Write the calibration as it is read here" in str(error.value)


def test_a_right_capture_is_not_misread(demo_capture: Path):
    assert misread(read_capture(demo_capture)) is None
