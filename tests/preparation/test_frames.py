"""Frames of films: sharp, evenly spread, at the same instants."""

from __future__ import annotations

import numpy as np
import pytest

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.preparation.frames import Film, choose_frames, find_offsets, sharpness


def film(times: np.ndarray, sharp: np.ndarray | None = None, *, late: float = 0.0) -> Film:
    """A hand that moves to and fro faster and slower; its clock is behind by `late` seconds."""
    clock = times + late
    way = 40 * np.sin(3 * clock) + 25 * np.sin(7.3 * clock + 1) + 10 * np.sin(0.9 * clock**2)
    shape = np.random.default_rng(0).uniform(0, 80, (42, 2))
    landmarks = shape + np.stack([300 + way, 200 + 0.4 * way], -1)[:, None]
    return Film(times, np.ones(len(times)) if sharp is None else sharp, landmarks)


def test_the_sharpest_of_each_stretch_is_taken() -> None:
    sharp = np.ones(40)
    sharp[[3, 13, 22, 39]] = 5.0
    chosen = choose_frames([film(np.arange(40) / 25, sharp)], [0.0], 4)
    assert chosen == [[3], [13], [22], [39]]
    assert len(choose_frames([film(np.arange(7) / 25)], [0.0], 100)) == 7


def test_cameras_are_cut_at_the_same_instants() -> None:
    fast, slow = film(np.arange(60) / 30), film(np.arange(40) / 25)
    for first, second in choose_frames([fast, slow], [0.0, 0.2], 12):
        assert abs(fast.times[first] - (slow.times[second] + 0.2)) <= 1 / 50 + 1e-9
    with pytest.raises(HandsError, match="found none in common"):
        choose_frames([fast, slow], [0.0, 100.0], 12)


def test_a_camera_that_lost_images_has_none_then() -> None:
    times = np.delete(np.arange(40) / 25, [10, 11, 12, 13, 14])
    rows = choose_frames([film(np.arange(40) / 25), film(times)], [0.0, 0.0], 40)
    assert [t for t, (_, second) in enumerate(rows) if second is None] == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("late", [0.0, 0.36, -0.8])
def test_offsets_are_found_from_how_the_hand_moves(late: float) -> None:
    one, other = film(np.arange(200) / 25), film(np.arange(200) / 30 + 3.0, late=late - 3.0)
    other.landmarks[40:60] = np.nan
    assert find_offsets([one, other]) == [0.0, pytest.approx(late - 3.0, abs=0.03)]


def test_blur_is_not_sharp() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)
    soft = np.full_like(noise, 128)
    hand = rng.uniform(20, 180, (21, 2))
    assert sharpness(noise, hand) > 100 * sharpness(soft, hand)
    assert sharpness(noise, np.full((21, 2), np.nan)) == 0
