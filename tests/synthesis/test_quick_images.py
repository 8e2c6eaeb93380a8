from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_images.hand_image import HandImage
from nerfstudio_hands.hand_model.load import default_hand
from nerfstudio_hands.hand_model.mano_writer import write_mano_pickle
from nerfstudio_hands.hand_model.model import pose_hand
from nerfstudio_hands.synthesis.quick.objects import TEST_SHAPES, TRAINING_SHAPES
from nerfstudio_hands.synthesis.quick_images import SyntheticHands, SyntheticHandsOptions

OPTIONS = SyntheticHandsOptions(size=96, people=2, count=40)
COUNT = 24


@pytest.fixture(scope="module")
def source() -> SyntheticHands:
    return SyntheticHands(OPTIONS)


@pytest.fixture(scope="module")
def pictures(source: SyntheticHands) -> list[HandImage]:
    return [source.read(index) for index in range(COUNT)]


def test_the_same_index_is_the_same_image_in_every_order_and_process(source, pictures):
    again = pickle.loads(pickle.dumps(source))
    for index in (7, 2):
        assert np.array_equal(again.read(index).rgb, pictures[index].rgb)
        assert np.array_equal(again.labels(index).vertices, pictures[index].labels.vertices)
    assert len(pickle.dumps(source)) < 2000
    assert len(source) == 40


def test_labels_lie_on_the_hand(pictures):
    inside = []
    for picture in pictures:
        labels = picture.labels
        projected = labels.joints @ labels.intrinsics.T
        assert np.allclose(projected[:, :2] / projected[:, 2:], labels.pixels, atol=1e-3)
        assert labels.bone_length == pytest.approx(np.linalg.norm(labels.joints[9] - labels.joints[10]))
        left, top, right, bottom = labels.box
        rows, columns = np.nonzero(picture.mask)
        if len(rows):
            assert columns.min() >= left - 1 and columns.max() <= right + 1
            assert rows.min() >= top - 1 and rows.max() <= bottom + 1
        column, row = np.clip(labels.pixels, 0, 95.9).astype(int).T
        inside.append(picture.mask[row, column].mean())
    # Joints are inside of hands, unless something hides them.
    assert np.median(inside) > 0.9


def test_rotations_and_shape_nearly_give_the_vertices(pictures):
    """The person is none of the shape space, so that they do not do so exactly."""
    hand = default_hand("right")
    for picture in pictures:
        labels = picture.labels
        turns = torch.from_numpy(labels.rotations)[None]
        posed = pose_hand(hand, turns[:, 0], turns[:, 1:], torch.zeros(1, 3), torch.from_numpy(labels.shape))
        own = posed.vertices[0].numpy()
        off = own - own.mean(0) - labels.vertices + labels.vertices.mean(0)
        assert np.linalg.norm(off, axis=1).mean() < 0.006


def test_hands_fill_the_image_as_said(pictures):
    sides = [np.max(picture.labels.box[2:] - picture.labels.box[:2]) / 96 for picture in pictures]
    assert min(sides) > 0.44 and max(sides) < 0.86
    off_center = [np.abs(picture.labels.intrinsics[:2, 2] / 96 - 0.5).max() for picture in pictures]
    assert max(off_center) > 0.5 and min(off_center) < 0.3


def test_what_is_for_testing_is_never_learned_from(source):
    test = SyntheticHands(replace(OPTIONS, split="test"))
    people = [{part._laid_out(index).who.albedo.tobytes() for index in range(12)} for part in (source, test)]
    assert len(people[0]) == 2 and not people[0] & people[1]
    assert not set(TRAINING_SHAPES) & set(TEST_SHAPES)
    assert not np.array_equal(source.labels(0).rotations, test.labels(0).rotations)


def test_backgrounds_of_a_folder_are_apart_too(tmp_path: Path):
    for number in range(10):
        flat = np.full((40, 60, 3), 25 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), flat)
    train, test = (SyntheticHands(replace(OPTIONS, split=split, backgrounds=tmp_path)) for split in ("train", "test"))
    assert len(train._files) == 8 and len(test._files) == 2
    assert not set(train._files) & set(test._files)
    assert train.read(0).rgb.shape == (96, 96, 3)


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(HandsError, match="expected at least 5 pictures"):
        SyntheticHands(replace(OPTIONS, backgrounds=tmp_path))


def test_hands_of_manos_files_are_drawn_too(tmp_path: Path):
    write_mano_pickle(tmp_path / "MANO_RIGHT.pkl", default_hand("right"), np.zeros((15, 3)))
    drawn = SyntheticHands(replace(OPTIONS, hand_model=str(tmp_path)))
    assert drawn.hand_model == "mano"
    picture = drawn.read(0)
    assert picture.mask.mean() > 0.03 and picture.labels.vertices.shape == (1609, 3)


@pytest.mark.parametrize("size", [31, 2000])
def test_sizes_out_of_range_are_refused(size: int):
    with pytest.raises(HandsError, match="size"):
        SyntheticHands(replace(OPTIONS, size=size))
