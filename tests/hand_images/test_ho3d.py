from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.formats.ho3d import from_ho3d, to_ho3d
from nerfstudio_hands.hand_images.sources import open_hand_images
from nerfstudio_hands.hand_model.joints import JOINT_NAMES
from nerfstudio_hands.synthesis.freihand_files import image_sources
from nerfstudio_hands.synthesis.ho3d_files import synthesize_ho3d
from nerfstudio_hands.synthesis.options import Ho3dOptions

PUBLISHED_ORDER = (
    "wrist index_1 index_2 index_3 middle_1 middle_2 middle_3 pinky_1 pinky_2 pinky_3 ring_1 ring_2 ring_3 "
    "thumb_1 thumb_2 thumb_3 thumb_4 index_4 middle_4 ring_4 pinky_4"
).split()


def changed(folder: Path, **values) -> Path:
    """All annotations of training with other values; functions get the old one."""
    for path in (folder / "train").rglob("*.pkl"):
        annotation = pickle.loads(path.read_bytes())
        for name, value in values.items():
            annotation[name] = value(annotation[name]) if callable(value) else value
        path.write_bytes(pickle.dumps(annotation))
    return folder


def test_order_and_axes_are_those_of_the_data_set():
    named = np.array([[JOINT_NAMES.index(name)] * 3 for name in PUBLISHED_ORDER], float)
    mine = from_ho3d(named)
    assert np.array_equal(mine[:, 0], np.arange(21)) and np.array_equal(mine[:, 1], -np.arange(21))
    assert np.array_equal(to_ho3d(mine), named)


def test_labels_are_those_that_were_written(ho3d_folder):
    truth = dict(image_sources(Ho3dOptions(training=6, evaluation=3, frames=2, size=96)))["evaluation"]
    source = open_hand_images(ho3d_folder, "test")
    assert len(source) == 3
    for index in range(3):
        found, wanted = source.labels(index), truth.labels(index)
        for name in ("joints", "pixels", "shape", "box", "vertices", "intrinsics"):
            assert np.allclose(getattr(found, name), getattr(wanted, name), atol=2e-2 if name == "pixels" else 1e-4), (
                name
            )
    assert source.read(2).rgb.shape == (96, 96, 3) and source.read(2).mask is None


def test_whole_sequences_are_held_out(ho3d_folder):
    train, held_out = (open_hand_images(ho3d_folder, split) for split in ("train", "val"))
    assert train.file_names() == ["SM1/0000", "SM1/0001", "SM2/0000", "SM2/0001"]
    assert held_out.file_names() == ["SM3/0000", "SM3/0001"]


def test_a_source_travels_without_its_arrays(ho3d_folder):
    source = open_hand_images(ho3d_folder, "train")
    assert len(pickle.dumps(source)) < 2000
    assert np.array_equal(pickle.loads(pickle.dumps(source)).labels(1).joints, source.labels(1).joints)


def test_version_2_without_truth(tmp_path):
    options = Ho3dOptions(training=2, evaluation=2, frames=1, size=64, version=2, truth=False)
    source = open_hand_images(synthesize_ho3d(tmp_path / "v2", options), "test")
    labels = source.labels(0)
    assert labels.joints is None and labels.rotations is None and labels.vertices is None
    assert labels.box.shape == (4,) and source.read(0).rgb.shape == (64, 64, 3)


def test_hands_that_nobody_annotated_are_left_out(own_ho3d):
    path = own_ho3d / "train" / "SM1" / "meta" / "0000.pkl"
    annotation = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(annotation | {"handJoints3D": None, "handPose": None}))
    assert open_hand_images(own_ho3d, "train").file_names() == ["SM1/0001", "SM2/0000", "SM2/0001"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"handJoints3D": lambda joints: joints * 1000}, "which are millimeters"),
        ({"handJoints3D": lambda joints: joints * [1, -1, -1]}, "negate y and z"),
        ({"handPose": lambda pose: pose - 0.25}, "expected poses|relative to the flat hand"),
        ({"camMat": lambda matrix: matrix + [[0, 0, 900], [0, 0, 0], [0, 0, 0]]}, "uncropped"),
        ({"camMat": None}, "expected HO-3D's camMat of 3 x 3"),
    ],
)
def test_labels_that_mean_something_else_are_refused(own_ho3d, values, message):
    with pytest.raises(HandsError, match=message):
        open_hand_images(changed(own_ho3d, **values), "train")


def test_annotations_that_could_run_code_are_not_run(own_ho3d, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    path = own_ho3d / "train" / "SM1" / "meta" / "0000.pkl"
    path.write_bytes(pickle.dumps({"camMat": Evil()}))
    with pytest.raises(HandsError, match="nothing was run"):
        open_hand_images(own_ho3d, "train")
    assert not (tmp_path / "run").exists()


def test_a_missing_annotation_is_named(own_ho3d):
    (own_ho3d / "evaluation" / "AP1" / "meta" / "0001.pkl").unlink()
    with pytest.raises(HandsError, match=re.escape("AP1/meta/0001.pkl: expected HO-3D's annotation of a picture")):
        open_hand_images(own_ho3d, "test")
