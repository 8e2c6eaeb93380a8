"""Regions and training labels on drawn pictures whose answer is known without running the code."""

import numpy as np
import pytest
import torch

from nerfstudio_hands.datamanagers.image_labels import training_labels
from nerfstudio_hands.evaluation.hand_region import evaluation_region, inner_region
from nerfstudio_hands.hand_model.side_image import NO_SIDE, side_image
from nerfstudio_hands.labels import PixelLabel

LEFT, RIGHT = 0, 1


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    """A right hand that projects to rows 20-59, columns 30-69; the mask goes on down to row 99 as a forearm."""
    sides = np.full((100, 100), NO_SIDE)
    sides[20:60, 30:70] = RIGHT
    mask = np.zeros((100, 100), dtype=bool)
    mask[20:100, 30:70] = True
    return mask, sides


def labels_of(mask, sides, **changes):
    return training_labels(
        mask, sides, **{"dilation": 6, "modeled_sides": [RIGHT], "erosion": 4, "margin": 3} | changes
    )


def test_inner_region_ends_where_the_projection_or_the_mask_ends(picture):
    mask, sides = picture
    sides[20:60, 60:70] = LEFT
    mask[20:25] = False
    region = inner_region(mask, sides, [RIGHT])
    assert region.sum() == 35 * 30
    assert region[25:60, 30:60].all()


def judged(mask, sides, *, share=None, band=100.0, rim=1.0):
    """The region of the right hand, with a stub behind its wrist in rows 60-64, as wide as the hand above it."""
    stub = np.zeros_like(mask)
    stub[60:65] = sides[59] == RIGHT
    share = mask.astype(np.float32) if share is None else share
    return evaluation_region(share, hand=sides == RIGHT, stub=stub, other=sides == LEFT, band=band, rim=rim)


def test_region_is_the_whole_mask_up_to_the_wrist_whatever_the_fit_misses(picture):
    mask, sides = picture
    whole = judged(mask, sides)
    sides[20:40] = NO_SIDE  # The fit has lost the upper half of the hand,
    sides[:, :35] = NO_SIDE  # and is too thin.
    lost = judged(mask, sides)
    assert np.array_equal(whole.region[:45], lost.region[:45])
    # All but the unknown pixel inside the mask's boundary; a thin fit loses what lies next to its stub.
    assert whole.region[21:60, 31:69].all() and whole.region.sum() == 39 * 38
    assert not (whole.ignored & whole.region).any()


def test_forearm_and_rim_say_nothing_and_all_other_pixels_are_background(picture):
    found = judged(*picture)
    assert found.ignored[60:, 30:70].all()
    assert found.ignored[30, [29, 30, 69, 70]].all() and not found.ignored[30, [28, 31, 68, 71]].any()
    known = ~found.ignored & ~found.region
    assert known[:19].all() and known[19:, :28].all() and known[19:, 72:].all()


def test_a_forearm_that_leaves_the_hand_at_an_angle_is_no_hand(picture):
    mask, sides = picture
    mask[60:] = False
    mask[45:60, :30] = True  # It goes off to the left, beside the hand, behind which its stub is hidden.
    stub = np.zeros_like(mask)
    stub[45:60, 30:50] = True
    found = evaluation_region(
        mask.astype(np.float32), hand=sides == RIGHT, stub=stub, other=sides == LEFT, band=100.0, rim=1.0
    )
    assert found.ignored[45:59, :30].all() and found.region[21:59, 31:69].all()


def test_the_other_hand_and_things_far_from_the_hand_say_nothing(picture):
    mask, sides = picture
    sides[20:60, 50:70] = LEFT
    mask[:, :5] = True
    found = judged(mask, sides, band=20.0)
    assert found.region[25:55, 32:50].all() and not found.region[:, 51:].any() and not found.region[:, :9].any()
    assert found.ignored[25:55, 51:70].all() and found.ignored[:, :4].all()


def test_a_pixel_that_the_mask_covers_in_part_is_unknown(picture):
    mask, sides = picture
    share = mask.astype(np.float32)
    share[40, 50] = 0.6
    found = judged(mask, sides, share=share)
    assert found.ignored[40, 50] and not found.region[40, 50]


def test_a_wider_rim_leaves_out_more(picture):
    found = judged(*picture, rim=3.0)
    assert found.region[23:60, 33:67].all() and found.region.sum() == 37 * 34


def test_wrist_cap_is_not_hand():
    face = torch.tensor([[-1, 0, 1, 2, 3]])
    assert side_image(face, torch.tensor([LEFT, RIGHT, RIGHT])).tolist() == [[NO_SIDE, LEFT, RIGHT, RIGHT, NO_SIDE]]


def test_hand_and_background(picture):
    labels = labels_of(*picture)
    assert (labels[20:55, 30:70] == PixelLabel.HAND).all()
    assert (labels[:60, :30] == PixelLabel.BACKGROUND).all() and (labels[:20] == PixelLabel.BACKGROUND).all()


def test_forearm_takes_no_part_and_has_a_margin(picture):
    labels = labels_of(*picture)
    # The projection ends with row 59, so the mask counts as hand down to row 65; 3 rows of margin remain of that.
    assert (labels[60:63, 40] == PixelLabel.HAND).all()
    assert (labels[63:, 40] == PixelLabel.IGNORE).all()
    assert (labels[80, 27:30] == PixelLabel.IGNORE).all() and labels[80, 26] == PixelLabel.BACKGROUND


def test_margin_as_wide_as_the_dilation_leaves_no_band_of_forearm(picture):
    assert (labels_of(*picture, margin=6)[60:, 30:70] == PixelLabel.IGNORE).all()


def test_mask_a_few_pixels_wider_than_the_projection_is_hand(picture):
    mask, sides = picture
    mask[20:60, 24:30] = True
    mask[60:] = False
    labels = labels_of(mask, sides)
    assert (labels[20:60, 24:30] == PixelLabel.HAND).all()
    assert not (labels == PixelLabel.IGNORE).any()


def test_hole_inside_the_hand_takes_no_part_but_a_gap_at_its_edge_is_background(picture):
    mask, sides = picture
    mask[35:40, 45:50] = False
    mask[30:50, 30:33] = False
    labels = labels_of(mask, sides)
    assert (labels[35:40, 45:50] == PixelLabel.IGNORE).all()
    assert (labels[30:50, 30:33] == PixelLabel.BACKGROUND).all()
    assert (labels[34, 45:50] == PixelLabel.HAND).all()


def test_without_a_mask_only_the_inside_of_the_hand_is_known(picture):
    labels = labels_of(None, picture[1])
    inside = np.zeros((100, 100), dtype=bool)
    inside[24:56, 34:66] = True
    assert (labels[inside] == PixelLabel.HAND).all()
    assert (labels[~inside] == PixelLabel.IGNORE).all()


def test_other_hand_takes_no_part(picture):
    mask, sides = picture
    sides[20:60, 50:70] = LEFT
    mask[60:] = False
    labels = labels_of(mask, sides)
    assert (labels[20:60, 50:70] == PixelLabel.IGNORE).all()
    assert (labels[25:55, 31:46] == PixelLabel.HAND).all()
    both = labels_of(mask, sides, modeled_sides=[LEFT, RIGHT])
    assert (both[20:60, 30:70] == PixelLabel.HAND).all()


def test_hand_cut_by_the_frame_is_hand_up_to_the_frame():
    sides = np.full((40, 40), RIGHT)
    assert (labels_of(None, sides) == PixelLabel.HAND).all()


def test_image_without_a_hand():
    sides = np.full((40, 40), NO_SIDE)
    assert (labels_of(np.zeros((40, 40), dtype=bool), sides) == PixelLabel.BACKGROUND).all()
    assert (labels_of(np.ones((40, 40), dtype=bool), sides) == PixelLabel.IGNORE).all()
