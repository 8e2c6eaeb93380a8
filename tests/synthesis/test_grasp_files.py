"""Drawn grasps in the layouts of data sets: what is drawn is read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfstudio_hands.hand_images.formats.dexycb import DexYCB
from nerfstudio_hands.hand_images.held_meshes import HeldSurface, check_meshes
from nerfstudio_hands.hand_images.sources import open_hand_images
from nerfstudio_hands.synthesis.dexycb_files import synthesize_dexycb
from nerfstudio_hands.synthesis.obman_files import synthesize_obman
from nerfstudio_hands.synthesis.options import DexYcbOptions, ObManOptions
from nerfstudio_hands.transforms.rigid import apply_rigid


def gap(source, index: int) -> float:
    """Meters from the hand's vertices to the thing, at least; negative inside."""
    labels = source.labels(index)
    own = apply_rigid(np.linalg.inv(labels.held.to_camera), labels.vertices.astype(float))
    return float(HeldSurface(source.held_mesh(labels.held.name)).distances(own).min())


def test_grasps_in_the_layout_of_obman(tmp_path: Path):
    folder = synthesize_obman(tmp_path / "obman", ObManOptions(training=2, evaluation=1))
    objects = []
    for split, count in (("train", 2), ("test", 1)):
        source = open_hand_images(folder, split)
        assert len(source) == count
        names = [source.labels(k).held.name for k in range(count)]
        assert check_meshes(names, source.held_mesh).closed == count
        objects.append({name.partition("@")[0] for name in names})
        for index in range(count):
            pixels = source.labels(index).pixels
            assert (pixels > 0).all() and (pixels < 256).all()
            assert -0.012 < gap(source, index) < 0.004
            assert source.read(index).mask.any()
    assert not objects[0] & objects[1]


def test_clips_of_grasps_in_the_layout_of_dexycb(tmp_path: Path):
    options = DexYcbOptions(training=1, evaluation=1, frames=2, left=1.0)
    folder = synthesize_dexycb(tmp_path / "dexycb", options)
    source = DexYCB(folder, "train", mano=folder / "mano", left_hands=True)
    assert [source.labels(k).side for k in range(2)] == ["left", "left"] and source.clip(1, 2) == [0, 1]
    assert -0.012 < gap(source, 0) < 0.004
    # From picture to picture the hand moves with what it holds.
    moved = [source.labels(k).held.to_camera[:3, 3] for k in range(2)]
    assert 0 < np.linalg.norm(moved[1] - moved[0]) < 0.1
