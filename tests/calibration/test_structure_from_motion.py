"""A camera that moves through a corner of a room finds its places."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerfstudio_hands.calibration.record import CalibratedCamera, transforms
from nerfstudio_hands.calibration.structure_from_motion import reconstruct
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.synthesis.rig import look_at

K = np.array([[400.0, 0, 240], [0, 400, 180], [0, 0, 1]])


def corner_of_a_room(transform: np.ndarray, walls: list[np.ndarray]) -> np.ndarray:
    """A picture of three textured planes x, y, z = 0 as seen from among them."""
    pixels = np.stack(np.meshgrid(np.arange(480) + 0.5, np.arange(360) + 0.5, [1.0]), -1)[:, :, 0]
    directions = pixels @ np.linalg.inv(K).T @ transform[:3, :3]
    center = -transform[:3, :3].T @ transform[:3, 3]
    along = np.where(directions < 0, -center / np.minimum(directions, -1e-9), np.inf)
    nearest = along.argmin(-1)
    places = center + np.take_along_axis(along, nearest[..., None], -1) * directions
    picture = np.zeros((360, 480), np.uint8)
    for axis in range(3):
        across = np.delete(places, axis, axis=-1).astype(np.float32) * 700
        drawn = cv2.remap(walls[axis], across[..., 0], across[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        picture[nearest == axis] = drawn[nearest == axis]
    return picture


def test_a_moving_camera_finds_its_places(tmp_path: Path):
    pytest.importorskip("pycolmap")
    rng = np.random.default_rng(0)
    walls = [cv2.resize(rng.integers(0, 256, (128, 128), np.uint8), (1024, 1024), interpolation=2) for _ in range(3)]
    true = {}
    for index, angle in enumerate(np.linspace(0.5, 1.0, 6)):
        eye = np.array([1.1 * np.cos(angle), 1.1 * np.sin(angle), 0.6 + 0.1 * np.sin(7 * angle)])
        true[f"{index}.png"] = look_at(eye, np.array([0.15, 0.15, 0.1]))
        cv2.imwrite(str(tmp_path / f"{index}.png"), corner_of_a_room(true[f"{index}.png"], walls))
    found, sentence = reconstruct(tmp_path, known=CalibratedCamera("phone", K, None, None, (480, 360)))
    assert len(found.images) >= 5 and "pictures placed by structure from motion" in sentence
    names = list(found.images)
    one = np.linalg.inv(transforms(found.images.values()))
    other = np.linalg.inv(np.stack([true[name] for name in names]))
    turn = Rotation.from_matrix(other[:, :3, :3] @ one[:, :3, :3].transpose(0, 2, 1)).mean()
    off = turn * Rotation.from_matrix(one[:, :3, :3]) * Rotation.from_matrix(other[:, :3, :3]).inv()
    assert np.degrees(off.magnitude()).max() < 0.3
    centers = turn.apply(one[:, :3, 3])
    centers, wanted = centers - centers.mean(0), other[:, :3, 3] - other[:, :3, 3].mean(0)
    assert np.linalg.norm(centers * (centers * wanted).sum() / (centers**2).sum() - wanted, axis=1).max() < 0.01


def test_without_pycolmap_one_sentence_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(HandsError, match=r"pip install nerfstudio-hands\[calibrate\]"):
        reconstruct(tmp_path)
