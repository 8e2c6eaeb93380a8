"""Overlays are as legible for small pictures as for large ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inspection.test_view_measures import disc_view

from nerfstudio_hands.inspection.capture_overlay import (
    BESIDE_IMAGE,
    LONGEST_SIDE,
    NARROWEST,
    SEEN_COLOR,
    SIDE_COLORS,
    TILE,
    contact_sheet,
    draw_overlay,
    with_caption,
)
from nerfstudio_hands.inspection.image_outline import measure_outline

CAPTION = ["400262 (fit), frame ROM03_RT_No_Occlusion/9018: outline 1.5 px off", "camera: turned 1.0° (corrected)"]


def painted(picture: np.ndarray, color) -> np.ndarray:
    return np.abs(picture.astype(int) - color).max(-1) < 40


@pytest.mark.parametrize(("radius", "size"), [(12.0, 60), (60.0, 240), (300.0, 1000)])
def test_a_hand_is_drawn_at_one_size_however_large_its_image_is(radius, size) -> None:
    view = disc_view(None, radius=radius, size=size)
    canvas = draw_overlay(view)
    assert max(canvas.shape[:2]) == LONGEST_SIDE
    outline = painted(canvas, SIDE_COLORS[0])
    # A line two pixels wide round a circle that fills most of the canvas, within 15 % of its radius.
    rows, columns = np.nonzero(outline)
    assert len(rows) > 2 * np.pi * 0.8 * np.ptp(rows) / 2
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.05) and np.ptp(rows) > 0.5 * LONGEST_SIDE


def test_joints_skeleton_and_the_image_s_outline_are_seen() -> None:
    view = disc_view(None)
    joints = np.full((2, 21, 2), np.nan)
    joints[0] = 120 + 40 * np.stack([np.cos(np.arange(21)), np.sin(np.arange(21))], -1)
    plain = painted(draw_overlay(view), SIDE_COLORS[0]).sum()
    view = replace(view, fitted=joints, detections=joints + 3)
    canvas = draw_overlay(view, measure_outline(view).seen)
    assert painted(canvas, SIDE_COLORS[0]).sum() > plain + 21 * 30
    assert painted(canvas, SEEN_COLOR).sum() > 1000


def test_a_narrow_image_has_a_whole_caption_and_no_black_beside_it() -> None:
    picture = np.full((1000, 200, 3), 200, np.uint8)
    page = with_caption(picture, CAPTION)
    assert page.shape[1] == NARROWEST
    strip, below = page[:-1000], page[-1000:]
    assert (below[:, 5] == BESIDE_IMAGE).all() and (below[:, NARROWEST // 2] == 200).all()
    # The same text in the same letters as on a wide page.
    wide = with_caption(np.full((1000, 1000, 3), 200, np.uint8), CAPTION)[:-1000]
    assert (strip > 128).any(-1).sum() == pytest.approx((wide > 128).any(-1).sum(), rel=0.02)


def test_the_page_of_all_keeps_the_size_of_letters() -> None:
    tall, wide = np.full((1000, 300, 3), 200, np.uint8), np.full((300, 1000, 3), 200, np.uint8)
    sheet = contact_sheet([tall, wide, tall], [CAPTION] * 3)
    assert sheet.shape[1] == 2 * TILE
    letters = (with_caption(tall, CAPTION)[:-1000] > 128).any(-1).sum()
    in_sheet = (sheet > 128).any(-1) & (sheet != 200).any(-1)
    assert in_sheet.sum() > 3 * 0.95 * letters
    # Beside the third tile no picture stands, and none is feigned.
    assert (sheet[-TILE:, TILE:] == BESIDE_IMAGE).all() and (sheet[-TILE:, 5] == BESIDE_IMAGE).all()
