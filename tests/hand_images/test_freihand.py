from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.hand_image import HandLabels
from nerfstudio_hands.hand_images.sources import open_hand_images
from nerfstudio_hands.hand_model.joints import JOINTS_TO_MANO_WITH_TIPS, to_interhand
from nerfstudio_hands.hand_model.load import load_hand
from nerfstudio_hands.hand_model.mano_writer import write_mano_pickle
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis.freihand_files import image_sources
from nerfstudio_hands.synthesis.options import FreiHandOptions

OPTIONS = FreiHandOptions(training=8, evaluation=3, size=96)


@pytest.fixture(scope="module")
def truth() -> dict[str, list[HandLabels]]:
    return {part: [source.labels(k) for k in range(len(source))] for part, source in image_sources(OPTIONS)}


def rewritten(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(change(np.array(json.loads(path.read_text()))).tolist()))
    return folder


def refused(folder: Path, split: str = "train", **options) -> str:
    with pytest.raises(HandsError) as caught:
        open_hand_images(folder, split, **options)
    message = str(caught.value)
    assert message.count("\n") == 0
    return message


def test_labels_are_those_that_were_written(freihand_folder, truth):
    for split, part in (("train", "training"), ("test", "evaluation")):
        read = open_hand_images(freihand_folder, split)
        for index in (0, 2):
            found, wanted = read.labels(index), truth[part][index]
            for name in ("joints", "vertices", "intrinsics", "pixels", "rotations", "shape"):
                tolerance = 1e-2 if name in ("pixels", "intrinsics") else 2e-6
                assert np.allclose(getattr(found, name), getattr(wanted, name), atol=tolerance), name
            assert found.bone_length == pytest.approx(wanted.bone_length, abs=1e-6)
            assert found.side == "right"


def test_poses_and_shapes_give_the_vertices(freihand_folder):
    model = load_hand(freihand_folder / "mano", "right")
    labels = open_hand_images(freihand_folder, "train").labels(3)
    turns, shape = torch.from_numpy(labels.rotations)[None], torch.from_numpy(labels.shape)
    posed = pose_hand(model, turns[:, 0], turns[:, 1:], torch.zeros(1, 3), shape)
    off = posed.vertices[0].numpy() - labels.vertices
    assert np.abs(off - off.mean(0)).max() < 1e-4


def test_splits_are_apart_and_copies_follow_each_other(freihand_folder):
    train, held_out, test = (open_hand_images(freihand_folder, split) for split in ("train", "val", "test"))
    assert (len(train), len(held_out), len(test)) == (7 * 4, 1, 3)
    assert np.array_equal(train.labels(2).joints, train.labels(2 + 7).joints)
    first, second = train.read(2), train.read(2 + 7)
    assert np.array_equal(first.mask, second.mask) and first.mask.any()
    assert np.abs(first.rgb[~first.mask].astype(int) - second.rgb[~first.mask]).mean() > 5
    # The held-out sample is the eighth, which no copy of the training split shows.
    own = {tuple(train.labels(k).joints.ravel()) for k in range(len(train))}
    assert len(own) == 7 and tuple(held_out.labels(0).joints.ravel()) not in own


def test_the_mask_lies_on_the_joints(freihand_folder):
    source = open_hand_images(freihand_folder, "train")
    inside = []
    for index in range(7):
        picture = source.read(index)
        column, row = picture.labels.pixels.astype(int).clip(0, 95).T
        inside.append(picture.mask[row, column].mean())
    assert np.median(inside) > 0.8


def test_a_source_travels_without_its_arrays(freihand_folder):
    source = open_hand_images(freihand_folder, "train")
    sent = pickle.dumps(source)
    assert len(sent) < 2000
    assert np.array_equal(pickle.loads(sent).read(1).rgb, source.read(1).rgb)


def test_the_evaluation_split_may_come_without_truth(own_freihand):
    for name in ("xyz", "verts", "mano"):
        (own_freihand / f"evaluation_{name}.json").unlink()
    labels = open_hand_images(own_freihand, "test").labels(1)
    assert labels.joints is None and labels.vertices is None and labels.rotations is None
    assert labels.bone_length > 0.02 and labels.intrinsics[0, 0] > 0


def test_without_mano_there_are_no_poses(own_freihand):
    (own_freihand / "mano" / "MANO_RIGHT.pkl").unlink()
    labels = open_hand_images(own_freihand, "train").labels(0)
    assert labels.rotations is None and labels.shape is not None and labels.vertices is not None


def test_a_file_that_is_cut_short_is_refused(own_freihand):
    path = own_freihand / "training_verts.json"
    path.write_text(path.read_text()[:-3000])
    assert re.search(
        r"training_verts.json: expected complete JSON, found \d+ bytes that are cut", refused(own_freihand)
    )
    # Nothing half read is kept.
    assert "cut short" in refused(own_freihand)


def test_a_list_of_another_length_is_refused(own_freihand):
    rewritten(own_freihand, "training_xyz", lambda xyz: xyz[:-1])
    assert "expected a list of 8 entries, found 7 entries" in refused(own_freihand)
    rewritten(own_freihand, "training_xyz", lambda xyz: np.concatenate([xyz, xyz]))
    assert "found more than 8 entries" in refused(own_freihand)


def test_entries_of_another_form_are_refused(own_freihand):
    rewritten(own_freihand, "training_xyz", lambda xyz: xyz[:, :20])
    assert "expected 21 x 3 numbers an entry" in refused(own_freihand)


@pytest.mark.parametrize(("factor", "unit"), [(1000, "millimeters"), (100, "centimeters")])
def test_another_unit_is_named(own_freihand, factor: int, unit: str):
    rewritten(own_freihand, "training_xyz", lambda xyz: factor * xyz)
    assert "expected meters, found hands of" in (message := refused(own_freihand))
    assert f"which are {unit}; divide by {factor}" in message


@pytest.mark.parametrize(
    ("reorder", "name"),
    [
        (lambda xyz: xyz[:, np.argsort(JOINTS_TO_MANO_WITH_TIPS)], "MANO's and HO-3D's"),
        (lambda xyz: to_interhand(xyz), "InterHand2.6M's"),
    ],
)
def test_another_order_of_joints_is_named(own_freihand, reorder, name: str):
    rewritten(own_freihand, "training_xyz", reorder)
    assert re.search(f"expected joints in order this project's .*, found {name}", refused(own_freihand))


def test_k_of_the_uncropped_image_is_refused(own_freihand):
    def uncropped(matrices: np.ndarray) -> np.ndarray:
        return matrices + [[0, 0, 900], [0, 0, 500], [0, 0, 0]]

    rewritten(own_freihand, "training_K", uncropped)
    assert "expected K of the pictures of 96 x 96" in (message := refused(own_freihand))
    assert "uncropped" in message


def test_axes_of_opengl_are_refused(own_freihand):
    rewritten(own_freihand, "training_xyz", lambda xyz: xyz * [1, -1, -1])
    assert "negate y and z" in refused(own_freihand)


def test_poses_relative_to_the_flat_hand_are_named(own_freihand):
    mean = load_hand(own_freihand / "mano", "right").hands_mean.numpy()

    def flat(mano: np.ndarray) -> np.ndarray:
        mano = mano.copy()
        mano[:, 0, 3:48] += mean.ravel()
        return mano

    rewritten(own_freihand, "training_mano", flat)
    assert "relative to the curled mean pose (flat_hand_mean=False), found ones that are relative to the flat hand" in (
        refused(own_freihand)
    )


def test_a_mano_file_of_the_other_side_serves_too(own_freihand, tmp_path):
    """It is mirrored, as everywhere."""
    right = load_hand(own_freihand / "mano", "right")
    left = load_hand(own_freihand / "mano", "left")
    other = tmp_path / "left"
    other.mkdir()
    write_mano_pickle(other / "MANO_LEFT.pkl", left, left.hands_mean.double().numpy())
    labels = open_hand_images(own_freihand, "train", mano=other).labels(0)
    assert np.allclose(labels.rotations, open_hand_images(own_freihand, "train").labels(0).rotations, atol=1e-5)
    assert right.side == "right"


def test_shapes_of_another_hand_are_refused(own_freihand):
    rewritten(own_freihand, "training_mano", lambda mano: mano + 0.5)
    assert "joints" in (message := refused(own_freihand)) and "the version and the side" in message


def test_missing_images_are_refused(own_freihand):
    (own_freihand / "training" / "rgb" / "00000007.jpg").unlink()
    assert "expected 8 pictures, 00000000.jpg and on, or 4 times as many" in refused(own_freihand)


def test_a_broken_image_is_named(own_freihand):
    source = open_hand_images(own_freihand, "train")
    (own_freihand / "training" / "rgb" / "00000002.jpg").write_bytes(b"no picture")
    with pytest.raises(HandsError, match="00000002.jpg: expected a picture"):
        source.read(2)


def test_a_folder_of_something_else_is_refused(tmp_path):
    assert "expected a data set of hands, a folder with training_K.json" in refused(tmp_path)
    assert "expected train, val, test, found 'eval'" in refused(tmp_path, "eval")
    assert "expected the folder of a data set, found none" in refused(tmp_path / "nowhere")
