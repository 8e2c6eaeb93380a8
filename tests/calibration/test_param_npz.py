"""The calibration of a capture room in all the forms that are about says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.make_scan import make_scan

from nerfstudio_hands.captures.formats.capture_room import read_capture_room
from nerfstudio_hands.errors import HandsError


def as_3x3(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = {"int": np.s_[:3, :3], "ext": np.s_[:3], "wor": np.s_[:3], "sca": np.s_[:]}
    return {key: array[rows[key[:3]]] for key, array in arrays.items()}


FORMS = {
    "K of 3x3 and transforms of 3x4": as_3x3,
    "numbers with leading zeros": lambda arrays: {
        f"{key.rpartition('_')[0]}_{int(key.rpartition('_')[2]):04d}": array for key, array in arrays.items()
    },
    "products alone": lambda arrays: {key: a for key, a in arrays.items() if key[:3] in ("wor", "sca")},
    "products of 3x4, of any scale": lambda arrays: {
        key: -3.0 * a[:3] for key, a in arrays.items() if key.startswith("world")
    },
}


def rewrite(scan: Path, change) -> None:
    path = scan / "camera" / "param.npz"
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    np.savez(path, **change(arrays))


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_say_the_same(tmp_path: Path, form: str):
    make_scan(tmp_path / "1")
    expected = read_capture_room(tmp_path / "1").cameras
    rewrite(tmp_path / "1", FORMS[form])
    found = read_capture_room(tmp_path / "1").cameras
    assert [camera.name for camera in found] == [camera.name for camera in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.intrinsics, other.intrinsics, atol=1e-3)
        np.testing.assert_allclose(one.world_to_camera, other.world_to_camera, atol=1e-5)


def test_two_arrays_of_one_camera_are_refused(tmp_path: Path):
    make_scan(tmp_path / "1")
    rewrite(tmp_path / "1", lambda arrays: {**arrays, "int_01": arrays["int_0"]})
    with pytest.raises(HandsError, match="found int_01 and int_1: remove one"):
        read_capture_room(tmp_path / "1")


def test_a_product_of_no_camera_is_refused(tmp_path: Path):
    make_scan(tmp_path / "1")
    rewrite(tmp_path / "1", lambda arrays: {"world_mat_0": np.diag([0.0, 1.0, 1.0, 1.0])})
    with pytest.raises(HandsError, match="expected world_mat_0 to be K times"):
        read_capture_room(tmp_path / "1")


@pytest.mark.parametrize(
    ("key", "place", "number", "found"),
    [
        ("int_0", (0, 0), 1e-12, "focal lengths of 2 to"),
        ("int_0", (0, 0), 1e12, "focal lengths of 2 to"),
        ("int_0", (0, 2), 1e12, "principal point"),
        ("ext_0", (0, 3), 1e12, r"translation below 1e\+05 in ext_0, found 1e\+12"),
    ],
)
def test_finite_nonsense_is_refused(tmp_path: Path, key: str, place: tuple[int, int], number: float, found: str):
    make_scan(tmp_path / "1")

    def change(arrays):
        arrays[key][place] = number
        return {name: array for name, array in arrays.items() if "world_mat" not in name}

    rewrite(tmp_path / "1", change)
    with pytest.raises(HandsError, match=f"param.npz: expected .*{found}"):
        read_capture_room(tmp_path / "1")
