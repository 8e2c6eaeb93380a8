"""Crops are cut once, belong to what they were cut from, and survive bad pictures and interruptions."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from nerfstudio_hands.datamanagers import crop_cutting
from nerfstudio_hands.datamanagers.crop_cutting import crops_path, load_or_build_crops, skipped_summary, source_summary
from nerfstudio_hands.datamanagers.evaluation_images import EvaluationImages
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSampler, HandPixelSamplerConfig
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource
from nerfstudio_hands.datamanagers.training_images import TrainingImages
from nerfstudio_hands.dataparsers.image_masks import ImageMasks
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fitting.silhouettes.segmentation import cut_out_hands
from nerfstudio_hands.labels import PixelLabel


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NERFSTUDIO_HANDS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cut_again(*arguments, **options):
    raise AssertionError("the pictures were looked at again")


def test_sampled_pixels_are_those_of_the_images(moving_hand):
    dataset = EvaluationImages(moving_hand())
    batch = HandPixelSampler(HandPixelSamplerConfig(num_rays_per_batch=500)).sample(
        load_or_build_crops(dataset, "train")
    )
    labels = [dataset[row]["hand_label"] for row in range(len(dataset))]
    for (row, y, x), color, label in zip(batch["indices"].tolist(), batch["image"], batch["hand_label"], strict=True):
        truth = np.asarray(Image.open(dataset.image_filenames[row]))[y, x]
        assert np.allclose(color, truth / 255)
        assert label == labels[row][y, x] != PixelLabel.IGNORE
        # Hand and wall differ plainly in red.
        assert (truth[0] > 128) == (label == PixelLabel.HAND)


def test_masks_of_our_own_end_at_the_wrist(moving_hand):
    dataset = EvaluationImages(moving_hand())
    for row in range(len(dataset)):
        hands = dataset.hands.project(row)
        drawn = np.asarray(Image.open(dataset.image_filenames[row]))[..., 0] > 128
        truth = drawn & (hands.sides >= 0)
        found = dataset[row]
        mask, label, region = (found[key][..., 0].numpy() for key in ("hand_mask", "hand_label", "hand_region"))
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9
        deep = cv2.distanceTransform((drawn & ~truth).astype(np.uint8), cv2.DIST_L2, 3) > 2
        assert not mask[deep].any() and not np.isin(label[deep], (PixelLabel.HAND, PixelLabel.BACKGROUND)).any()
        assert region.any() and not region[~mask].any() and not (label[region] == PixelLabel.BACKGROUND).any()
        # Most of the hand trains.
        assert (label[truth] == PixelLabel.HAND).mean() > 0.6 and not (label[~drawn] == PixelLabel.HAND).any()


def test_a_hand_that_is_a_little_off_is_found_by_its_colour(moving_hand):
    outputs = moving_hand(1)
    image = np.asarray(Image.open(outputs.image_filenames[0]))
    shifted = np.roll(image, -3, axis=1)  # 7.5 mm at half a metre.
    Image.fromarray(shifted).save(outputs.image_filenames[0])
    dataset = EvaluationImages(outputs)
    truth = (shifted[..., 0] > 128) & (np.roll(dataset.hands.project(0).sides, -3, axis=1) >= 0)
    projected = dataset.hands.project(0).sides >= 0
    mask = dataset[0]["hand_mask"][..., 0].numpy()

    def overlap(found):
        return (found & truth).sum() / (found | truth).sum()

    assert overlap(mask) > 0.88 > 0.83 > overlap(projected)


def test_crops_are_reused(moving_hand, monkeypatch):
    outputs = moving_hand()
    first = load_or_build_crops(EvaluationImages(outputs), "train")
    path = crops_path(EvaluationImages(outputs), "train", margin=12, indices=range(6))
    written = path.stat().st_mtime_ns, path.with_suffix(".bytes").stat().st_mtime_ns
    monkeypatch.setattr(TrainingImages, "labels", cut_again)
    again = load_or_build_crops(EvaluationImages(outputs), "train")
    assert np.array_equal(first.index, again.index) and (first.crop(3).pixels == again.crop(3).pixels).all()
    assert written == (path.stat().st_mtime_ns, path.with_suffix(".bytes").stat().st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [
        "margin",
        "rows",
        "picture",
        "pose",
        "camera",
        "mask",
        "polarity",
        "verdict",
        "true mask",
        "object",
        "hand",
    ],
)
def test_whatever_crops_depend_on_makes_another_file(moving_hand, change: str):
    outputs = moving_hand()

    def path(margin: int = 16, indices=range(6)) -> Path:
        return crops_path(EvaluationImages(outputs), "train", margin=margin, indices=indices)

    before = path()
    assert path() == before
    hands = outputs.metadata["hands"]
    if change == "margin":
        assert path(margin=17) != before
    elif change == "rows":
        assert path(indices=[0, 1]) != before
    else:
        if change == "picture":
            os.utime(outputs.image_filenames[2], (1, 1))
        elif change == "pose":
            hands.all_pose.local_rotations[2, 0, 3, 1] += 1e-3
        elif change == "camera":
            outputs.cameras.fx[1] += 0.5
        elif change == "mask":
            outputs.metadata["masks"][0].segmented = np.ones((112, 96), dtype=bool)
        elif change == "polarity":
            outputs.metadata["masks"][1].inverted = True
        elif change == "verdict":
            outputs.metadata["masks"][1].verdict = "holes"
        elif change == "object":
            outputs.metadata["masks"][1].held_object = outputs.image_filenames[0]
        elif change == "true mask":
            outputs.metadata["masks"][0].truth = outputs.image_filenames[0]
        else:
            hands.all_displacement[5] += 1e-3
        assert path() != before


LABELED_BY = (
    "training_images",
    "evaluation_images",
    "projected_hands",
    "image_labels",
    "hand_region",
    "pixel_distances",
    "side_image",
    "segmentation",
    "crop_cutting",
)


@pytest.mark.parametrize("module", LABELED_BY)
def test_another_way_to_label_makes_other_crops(moving_hand, monkeypatch, module: str):
    dataset = EvaluationImages(moving_hand(1))
    before = crops_path(dataset, "train", margin=12, indices=range(2))
    read = crop_cutting.inspect.getsource
    monkeypatch.setattr(
        crop_cutting.inspect, "getsource", lambda of: read(of) + "# Another way." * of.__name__.endswith(f".{module}")
    )
    assert crops_path(dataset, "train", margin=12, indices=range(2)) != before


@pytest.mark.parametrize("damage", ["index", "array", "bytes"])
def test_damaged_crops_are_cut_again(moving_hand, capsys, damage: str):
    dataset = EvaluationImages(moving_hand(1))
    before = load_or_build_crops(dataset, "train")
    pixels = before.crop(1).pixels  # Read before the file that it lies in is cut off.
    path = crops_path(dataset, "train", margin=12, indices=range(2))
    if damage == "index":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "array":
        np.savez(path, version=crop_cutting.CROP_VERSION)
    else:
        os.truncate(path.with_suffix(".bytes"), 100)
    again = load_or_build_crops(dataset, "train")
    assert "Cutting hands out again" in capsys.readouterr().out
    assert (again.index == before.index).all() and (again.crop(1).pixels == pixels).all()


@pytest.mark.parametrize("what", ["pixel", "index"])
def test_an_altered_crop_is_named(moving_hand, what: str):
    dataset = EvaluationImages(moving_hand(1))
    load_or_build_crops(dataset, "train")
    path = crops_path(dataset, "train", margin=12, indices=range(2))
    if what == "pixel":
        with path.with_suffix(".bytes").open("r+b") as file:
            file.seek(100)
            file.write(bytes([255 - file.read(1)[0]]))
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays["index"]["left"][0] += 1
        np.savez(path, **arrays)
    with pytest.raises(HandsError, match="found crop 0 altered: remove the file"):
        load_or_build_crops(dataset, "train").crop(0)


def test_an_interrupted_cut_goes_on_where_it_stopped(moving_hand, monkeypatch, own_cache):
    outputs, labels, looked_at = moving_hand(), TrainingImages.labels, []
    monkeypatch.setattr(crop_cutting, "IMAGES_AT_ONCE", 2)

    def stopped(self, row, image):
        if row == 4:
            raise KeyboardInterrupt
        return labels(self, row, image)

    def watched(self, row, image):
        looked_at.append(row)
        return labels(self, row, image)

    whole = load_or_build_crops(EvaluationImages(outputs), "train", margin=20)  # Another file, for comparison.
    monkeypatch.setattr(TrainingImages, "labels", stopped)
    with pytest.raises(KeyboardInterrupt):
        load_or_build_crops(EvaluationImages(outputs), "train", margin=19)
    monkeypatch.setattr(TrainingImages, "labels", watched)
    resumed = load_or_build_crops(EvaluationImages(outputs), "train", margin=19)
    assert sorted(looked_at) == [4, 5]
    assert np.array_equal(whole.index["num_hand"], resumed.index["num_hand"])
    for crop, larger in ((resumed.crop(row), whole.crop(row)) for row in range(6)):
        down, right = crop.top - larger.top, crop.left - larger.left
        height, width = crop.pixels.shape[:2]
        assert np.array_equal(crop.pixels, larger.pixels[down : down + height, right : right + width])


def test_bad_images_are_survived_and_counted(moving_hand):
    outputs = moving_hand()
    paths = outputs.image_filenames
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    Image.new("RGB", (96, 112)).save(paths[2])
    dataset = EvaluationImages(outputs)
    crops = load_or_build_crops(dataset, "train")
    assert crops.index["source"].tolist() == [MaskSource.NO_IMAGE] * 3 + [MaskSource.GRABCUT] * 3
    assert crops.index["height"].astype(bool).tolist() == [False] * 3 + [True] * 3
    path = crops_path(dataset, "train", margin=12, indices=range(6))
    assert "3 masks by GrabCut" in source_summary(crops, "train", path)
    sentence = skipped_summary(crops, dataset, "train")
    assert sentence.startswith("3 of 6 pictures (train)") and "3 of them black or unreadable" in sentence
    assert all(str(path) in sentence for path in paths[:3]) and str(paths[3]) not in sentence
    batch = HandPixelSampler(HandPixelSamplerConfig(num_rays_per_batch=100)).sample(crops)
    assert set(batch["indices"][:, 0].tolist()) == {3, 4, 5}
    assert dataset[0]["image"].shape == (112, 96, 3) and not dataset[0]["hand_region"].any()


def test_a_hand_that_cannot_be_told_from_its_surroundings_falls_back_to_the_projection(moving_hand):
    outputs = moving_hand(1)
    # In place of the hand a bright bar across it: nothing like the projection.
    image = np.zeros((112, 96, 3), dtype=np.uint8) + np.array([30, 60, 50], dtype=np.uint8)
    image[:, 52:56] = 220
    Image.fromarray(image).save(outputs.image_filenames[0])
    dataset = EvaluationImages(outputs)
    crops = load_or_build_crops(dataset, "train")
    assert crops.index["source"].tolist() == [MaskSource.PROJECTION, MaskSource.GRABCUT]
    assert "1 masks by GrabCut, 1 fell back to the projected hand" in source_summary(
        crops, "train", crops_path(dataset, "train", margin=12, indices=range(2))
    )
    hands, found = dataset.hands.project(0), dataset[0]
    assert np.array_equal(found["hand_mask"][..., 0], hands.sides >= 0)
    label = found["hand_label"][..., 0].numpy()
    assert (label[hands.sides < 0] != PixelLabel.HAND).all() and (
        label[hands.sides >= 0] != PixelLabel.BACKGROUND
    ).all()
    assert (label == PixelLabel.HAND).any() and (label == PixelLabel.BACKGROUND).any()


def test_a_hand_too_thin_to_cut_out_is_refused():
    sides = np.full((40, 40), -1)
    sides[20, 5:35] = 1
    nothing = np.zeros((40, 40), dtype=bool)
    assert cut_out_hands(np.zeros((40, 40, 3), np.uint8), sides, nothing, band=4) is None


def test_a_speck_is_no_hand_but_both_pieces_of_a_hidden_one_are():
    image = np.zeros((80, 120, 3), dtype=np.uint8)
    sides = np.full((80, 120), -1)
    sides[20:60, 10:40], sides[20:60, 60:90] = 0, 1  # A left hand, and a right one
    sides[35:45, 60:90] = 0  # before which a finger of the left passes.
    image[sides >= 0] = 200
    image[30:36, 46:50] = 200
    mask = cut_out_hands(image, sides, np.zeros(sides.shape, dtype=bool), band=8)
    assert np.array_equal(mask, sides >= 0)


def test_the_truth_of_a_synthetic_capture_goes_before_a_mask_of_our_own(moving_hand, tmp_path):
    outputs = moving_hand(1)
    image = np.asarray(Image.open(outputs.image_filenames[0]))
    truth = np.zeros((112, 96), dtype=np.uint8)
    truth[40:80, 40:60] = 255
    Image.fromarray(truth).save(tmp_path / "truth.png")
    own = EvaluationImages(outputs)[0]
    outputs.metadata["masks"][0].truth = tmp_path / "truth.png"
    found = EvaluationImages(outputs)[0]
    assert own["mask_is_own"] and not found["mask_is_own"]
    assert np.array_equal(found["hand_mask"][..., 0], truth > 0)
    inside = cv2.erode(truth, np.ones((3, 3), np.uint8)) > 0
    assert np.array_equal(
        found["hand_region"][..., 0] | found["hand_ignored"][..., 0] & torch.from_numpy(inside), inside
    )
    # Training learns from masks of its own all the same.
    assert torch.equal(own["hand_label"], found["hand_label"]) and image.any()


def test_a_mask_that_leaves_out_a_piece_of_the_fitted_hand_is_not_asked_there(moving_hand, tmp_path):
    outputs = moving_hand(1)
    hands = EvaluationImages(outputs).hands.project(0)
    bitten = hands.seen.copy()
    bitten[:, : int(np.median(np.nonzero(hands.whole)[1]))] = False
    Image.fromarray(bitten).save(tmp_path / "mask.png")
    outputs.metadata["masks"][0] = ImageMasks(given=tmp_path / "mask.png", verdict="good")
    dataset = TrainingImages(outputs)
    found = dataset.labels(0, dataset.get_numpy_image(0))
    missed = hands.whole & ~bitten
    assert missed.any() and np.array_equal(found.doubtful, missed)
    assert (found.label[missed] == PixelLabel.IGNORE).all() and not found.mask[missed].any()
    assert (found.label[hands.whole & bitten] == PixelLabel.HAND).any()
    # It ends at the wrist, too, and the arm in the image goes on.
    assert hands.forearm.any() and (found.label[hands.forearm] == PixelLabel.IGNORE).all()


def test_the_viewer_s_images_are_not_labelled(moving_hand, monkeypatch):
    monkeypatch.setattr(TrainingImages, "labels", cut_again)
    assert set(TrainingImages(moving_hand())[1]) == {"image", "image_idx"}


def test_labels_come_from_the_crops_where_these_are_there(moving_hand, monkeypatch):
    outputs = moving_hand(1)
    direct, cropped = EvaluationImages(outputs), EvaluationImages(outputs)
    cropped.crops = load_or_build_crops(cropped, "held-out")
    truth = direct[0]
    monkeypatch.setattr(TrainingImages, "labels", cut_again)
    found, entry = cropped[0], cropped.crops.index[0]
    box = np.s_[entry["top"] : entry["top"] + entry["height"], entry["left"] : entry["left"] + entry["width"]]
    assert all(torch.equal(truth[key], found[key]) for key in ("image", "hand_mask", "hand_region", "hand_inner"))
    assert torch.equal(truth["hand_label"][box], found["hand_label"][box])
