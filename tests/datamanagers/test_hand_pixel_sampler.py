"""Which pixels training sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nerfstudio_hands.datamanagers.crop_cache import CropCache, CropWriter
from nerfstudio_hands.datamanagers.crop_cutting import crop_pixels
from nerfstudio_hands.datamanagers.hand_pixel_sampler import HandPixelSampler, HandPixelSamplerConfig
from nerfstudio_hands.datamanagers.pixel_labels import MaskSource, PixelLabels
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.labels import PixelLabel

SIZE = 64


def picture(row: int, top: int = 20, side: int = 12, height: int = SIZE) -> tuple[np.ndarray, PixelLabels]:
    """Colour says where each pixel is: a square hand, a ring that takes no part, background around."""
    label = np.full((height, SIZE), PixelLabel.BACKGROUND, dtype=np.uint8)
    label[max(top - 2, 0) : top + side + 2, 18 : 22 + side] = PixelLabel.IGNORE
    label[top : top + side, 20 : 20 + side] = PixelLabel.HAND
    y, x = np.mgrid[:height, :SIZE]
    nothing = np.zeros(label.shape, dtype=bool)
    return np.stack([np.full_like(y, row), y, x], -1).astype(np.uint8), PixelLabels(
        label, nothing, nothing, nothing, nothing, MaskSource.CAPTURE
    )


@pytest.fixture
def crops_of(tmp_path: Path) -> Callable[..., CropCache]:
    """Crops of pictures, with the frame of each."""

    def make(pictures: list, frames: list[int], rows: list[int] | None = None) -> CropCache:
        writer = CropWriter(tmp_path / f"{len(list(tmp_path.iterdir()))}.npz")
        for number, ((image, labels), frame) in enumerate(zip(pictures, frames, strict=True)):
            pixels, top, left = crop_pixels(image, labels, 16)
            row = number if rows is None else rows[number]
            writer.add(image=row, frame=frame, source=MaskSource.CAPTURE, pixels=pixels, top=top, left=left)
        writer.finish()
        return CropCache(writer.path)

    return make


@pytest.fixture
def two(crops_of) -> CropCache:
    """Two pictures of one frame, rows 4 and 9 of a data set."""
    return crops_of([picture(4), picture(9)], [0, 0], rows=[4, 9])


def sampler(**options) -> HandPixelSampler:
    made = HandPixelSampler(HandPixelSamplerConfig(num_rays_per_batch=400, **options))
    made.generator = np.random.default_rng(0)
    return made


def test_rays_come_from_the_hand_and_the_background_next_to_it(two):
    batch = sampler(background_fraction=0.25).sample(two)
    label = batch["hand_label"].view(-1)
    assert (label == PixelLabel.HAND).sum() == 300 and (label == PixelLabel.BACKGROUND).sum() == 100
    _, y, x = batch["indices"][label == PixelLabel.BACKGROUND].T
    assert np.maximum((y - 25.5).abs(), (x - 25.5).abs()).max() <= 6 + 12
    assert set(batch["indices"][:, 0].tolist()) == {4, 9}


def test_rays_to_the_outline_say_what_the_mask_shows_there(crops_of):
    image, labels = picture(0)
    labels.mask[18:34, 20:31] = True  # The upper half of the ring that takes no part, and a bit of its sides.
    labels.mask[18:34, 31:36] = labels.label[18:34, 31:36] == PixelLabel.HAND
    batch = sampler(background_fraction=0.2, boundary_fraction=0.3).sample(crops_of([(image, labels)], [0]))
    outline = batch["on_boundary"][:, 0]
    assert outline.sum() == 120 and len(batch["image"]) == 400
    assert (batch["hand_label"][outline] == PixelLabel.IGNORE).all() and (
        batch["hand_label"][~outline] != PixelLabel.IGNORE
    ).all()
    _, y, x = batch["indices"][outline].numpy().T
    assert (batch["in_mask"][outline, 0].numpy() == labels.mask[y, x]).all() and labels.mask[y, x].any()
    assert not sampler().sample(crops_of([(image, labels)], [0]))["on_boundary"].any()


def test_where_the_mask_is_contradicted_it_is_not_asked(crops_of):
    image, labels = picture(0)
    labels.doubtful = np.zeros(labels.mask.shape, dtype=bool)
    labels.doubtful[:, :20] = True
    crops = crops_of([(image, labels)], [0])
    batch = sampler(background_fraction=0.2, boundary_fraction=0.3).sample(crops)
    assert batch["indices"][batch["on_boundary"][:, 0], 2].min() == 20


def test_what_the_hand_holds_is_drawn_for_a_model_that_learns_it_and_has_an_outline_of_its_own(crops_of):
    image, labels = picture(0)
    # An object from the hand's right side on, with a ring of its own towards the background.
    labels.label[14:38, 34:52] = PixelLabel.IGNORE
    labels.label[16:36, 34:50] = PixelLabel.OBJECT
    crops = crops_of([(image, labels)], [0])
    options = {"background_fraction": 0.2, "boundary_fraction": 0.3}
    plain, both = sampler(**options), sampler(draws_objects=True, **options)
    for draws in (plain, both):
        batch = draws.sample(crops)
        label, outline = batch["hand_label"][:, 0], batch["on_boundary"][:, 0]
        count = {
            value: int((label[~outline] == value).sum())
            for value in (PixelLabel.HAND, PixelLabel.OBJECT, PixelLabel.BACKGROUND)
        }
        assert count[PixelLabel.BACKGROUND] == 80 and count[PixelLabel.HAND] + count[PixelLabel.OBJECT] == 200
        # Of 144 pixels of the hand and 320 of the object.
        assert count[PixelLabel.OBJECT] == 0 if draws is plain else 100 < count[PixelLabel.OBJECT] < 170
        _, y, x = batch["indices"][outline].numpy().T
        beside_object = (np.maximum(34 - x, 0) <= 3) & (y >= 13) & (y < 39)
        assert len(y) == 120 and beside_object.any() == (draws is both)


def test_colours_belong_to_their_pixels(two, crops_of):
    # The second has another size, and a hand at its edge.
    for crops in (two, crops_of([picture(4), picture(9, top=38, height=50)], [0, 1], rows=[4, 9])):
        batch = sampler().sample(crops)
        assert np.array_equal((batch["image"] * 255).round().long(), batch["indices"])
    assert batch["indices"][batch["indices"][:, 0] == 9, 1].max() == 49


def test_patches_are_whole_squares_in_the_image(two, crops_of):
    size = 32
    assert sampler(num_patches=3, patch_size=size).sample(two)["num_patch_rays"] == 0  # Nobody looks at patches.
    with_patches = sampler(num_patches=3, patch_size=size, draws_patches=True)
    for crops in (two, crops_of([picture(4, top=0), picture(9, top=52)], [0, 0], rows=[4, 9])):
        batch = with_patches.sample(crops)
        assert batch["num_patch_rays"] == 3 * size**2 and len(batch["image"]) == 400 + 3 * size**2
        assert np.array_equal((batch["image"] * 255).round().long(), batch["indices"])
        for patch in batch["indices"][-3 * size**2 :].view(3, size, size, 3):
            assert len(patch[..., 0].unique()) == 1
            assert (patch[1:, :, 1] - patch[:-1, :, 1] == 1).all() and (patch[:, 1:, 2] - patch[:, :-1, 2] == 1).all()
            assert patch[..., 1:].min() >= 0 and patch[..., 1:].max() < SIZE


def test_patches_start_when_told(two):
    late = sampler(num_patches=1, patches_from=10, draws_patches=True)
    assert late.sample(two)["num_patch_rays"] == 0
    late.step = 10
    assert late.sample(two)["num_patch_rays"] == 32**2


def test_no_hand_at_all_is_said(crops_of):
    with pytest.raises(HandsError, match="ns-hands check"):
        sampler().sample(crops_of([picture(0, side=0)], [0]))


def test_every_hand_pixel_has_the_same_chance_whatever_its_frame(crops_of):
    # Eleven frames of one to five pictures with hands of 4x4 to 16x16 pixels, and pictures without a hand in between.
    random = np.random.default_rng(1)
    frames = [frame for frame in range(11) for _ in range(1 + frame % 5)]
    sides = random.integers(4, 17, len(frames)) * (np.arange(len(frames)) % 7 > 0)
    crops = crops_of([picture(row, side=int(side)) for row, side in enumerate(sides)], frames)
    draws = sampler(frames_per_batch=3, images_per_batch=6)
    batches, count = 600, np.zeros((len(frames), SIZE, SIZE))
    for _ in range(batches):
        batch = draws.sample(crops)
        row, y, x = batch["indices"][batch["hand_label"][:, 0] == PixelLabel.HAND].T.numpy()
        np.add.at(count, (row, y, x), 1)
        assert len(np.unique(row)) <= 6 and len({frames[r] for r in row}) <= 3
    seen = sides > 0
    share = sides**2 / (sides**2).sum()
    ratio = count.sum((1, 2))[seen] / (batches * 340 * share[seen])
    # A batch gives one picture dozens of rays at once, so counts scatter by the number of batches it was in.
    assert (np.abs(ratio - 1) < 4 / np.sqrt(batches * 6 * share[seen])).all()
    assert abs((ratio * share[seen]).sum() - 1) < 1e-6
    assert count[sides == 0].sum() == 0
    # Within one picture: rows and columns of the hand alike.
    largest = count[sides.argmax(), 20 : 20 + sides.max(), 20 : 20 + sides.max()]
    assert np.abs(largest.sum(0) / largest.sum() * sides.max() - 1).max() < 0.25


def test_images_of_a_frame_give_rays_by_the_size_of_their_hands(crops_of):
    # Six frames with a hand of 16x16 and one of 4x4 pixels each; a batch takes both pictures of two of them.
    crops = crops_of([picture(row, side=(16, 4)[row % 2]) for row in range(12)], [row // 2 for row in range(12)])
    draws = sampler(frames_per_batch=2, images_per_batch=8, background_fraction=0.0)
    rows = np.concatenate([draws.sample(crops)["indices"][:, 0].numpy() for _ in range(20)])
    # 8000 rays: one in seventeen to a small hand, to within five standard deviations.
    assert (rows % 2).mean() == pytest.approx(1 / 17, abs=0.014)


def test_a_small_capture_is_in_every_batch(crops_of):
    crops = crops_of([picture(row, side=4 + row) for row in range(16)], [0] * 8 + [1] * 8)
    draws = sampler()
    for _ in range(10):
        rows = draws.sample(crops)["indices"][:, 0]
        assert len(rows.unique()) == 16
    shares = np.mean([np.bincount(draws.sample(crops)["indices"][:, 0], minlength=16) for _ in range(200)], axis=0)
    areas = (4 + np.arange(16)) ** 2
    hand = shares - 60 * np.array([r for r in crops.index["num_background"]]) / crops.index["num_background"].sum()
    assert np.abs(hand / (340 * areas / areas.sum()) - 1).max() < 0.15


def test_a_seed_repeats_its_batches_and_another_does_not(two):
    first, again, other = sampler(), sampler(), sampler()
    other.generator = np.random.default_rng(1)
    batches = [[made.sample(two)["indices"] for _ in range(2)] for made in (first, again, other)]
    assert all((a == b).all() for a, b in zip(batches[0], batches[1], strict=True))
    assert not (batches[0][0] == batches[2][0]).all() and not (batches[0][0] == batches[0][1]).all()
