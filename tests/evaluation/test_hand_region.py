"""Regions and training labels on drawn pictures whose answer is known without running the code."""

import numpy as np
import pytest
import torch

from nerfstudio_hands.evaluation.hand_region import (
    BACKGROUND,
    HAND,
    NO_PART,
    NO_SIDE,
    hand_region,
    side_image,
    training_labels,
)

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
        mask, sides, **{"dilation": 6, "modelled_sides": [RIGHT], "erosion": 4, "margin": 3} | changes
    )


def test_region_ends_where_the_projection_or_the_mask_ends(picture):
    mask, sides = picture
    sides[20:60, 60:70] = LEFT
    mask[20:25] = False
    region = hand_region(mask, sides, [RIGHT])
    assert region.sum() == 35 * 30
    assert region[25:60, 30:60].all()


def test_wrist_cap_is_not_hand():
    face = torch.tensor([[-1, 0, 1, 2, 3]])
    assert side_image(face, torch.tensor([LEFT, RIGHT, RIGHT])).tolist() == [[NO_SIDE, LEFT, RIGHT, RIGHT, NO_SIDE]]


def test_hand_and_background(picture):
    labels = labels_of(*picture)
    assert (labels[20:55, 30:70] == HAND).all()
    assert (labels[:60, :30] == BACKGROUND).all() and (labels[:20] == BACKGROUND).all()


def test_forearm_takes_no_part_and_has_a_margin(picture):
    labels = labels_of(*picture)
    # The projection ends with row 59, so the mask counts as hand down to row 65; 3 rows of margin remain of that.
    assert (labels[60:63, 40] == HAND).all()
    assert (labels[63:, 40] == NO_PART).all()
    assert (labels[80, 27:30] == NO_PART).all() and labels[80, 26] == BACKGROUND


def test_margin_as_wide_as_the_dilation_leaves_no_band_of_forearm(picture):
    assert (labels_of(*picture, margin=6)[60:, 30:70] == NO_PART).all()


def test_mask_a_few_pixels_wider_than_the_projection_is_hand(picture):
    mask, sides = picture
    mask[20:60, 24:30] = True
    mask[60:] = False
    labels = labels_of(mask, sides)
    assert (labels[20:60, 24:30] == HAND).all()
    assert not (labels == NO_PART).any()


def test_hole_inside_the_hand_takes_no_part_but_a_gap_at_its_edge_is_background(picture):
    mask, sides = picture
    mask[35:40, 45:50] = False
    mask[30:50, 30:33] = False
    labels = labels_of(mask, sides)
    assert (labels[35:40, 45:50] == NO_PART).all()
    assert (labels[30:50, 30:33] == BACKGROUND).all()
    assert (labels[34, 45:50] == HAND).all()


def test_without_a_mask_only_the_inside_of_the_hand_is_known(picture):
    labels = labels_of(None, picture[1])
    inside = np.zeros((100, 100), dtype=bool)
    inside[24:56, 34:66] = True
    assert (labels[inside] == HAND).all()
    assert (labels[~inside] == NO_PART).all()


def test_other_hand_takes_no_part(picture):
    mask, sides = picture
    sides[20:60, 50:70] = LEFT
    mask[60:] = False
    labels = labels_of(mask, sides)
    assert (labels[20:60, 50:70] == NO_PART).all()
    assert (labels[25:55, 31:46] == HAND).all()
    both = labels_of(mask, sides, modelled_sides=[LEFT, RIGHT])
    assert (both[20:60, 30:70] == HAND).all()


def test_hand_cut_by_the_frame_is_hand_up_to_the_frame():
    sides = np.full((40, 40), RIGHT)
    assert (labels_of(None, sides) == HAND).all()


def test_picture_without_a_hand():
    sides = np.full((40, 40), NO_SIDE)
    assert (labels_of(np.zeros((40, 40), dtype=bool), sides) == BACKGROUND).all()
    assert (labels_of(np.ones((40, 40), dtype=bool), sides) == NO_PART).all()
