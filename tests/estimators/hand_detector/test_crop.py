"""Crops against points that are drawn into a picture and found again in the crop."""

from __future__ import annotations

import numpy as np
import pytest

from nerfstudio_hands.estimators.hand_detector.crop import Crop, crop_of_landmarks, crop_of_palm, cut


def drawn(point: np.ndarray, width: float) -> np.ndarray:
    """A soft spot round a point on black; the first pixel's centre is (0.5, 0.5)."""
    x, y = np.meshgrid(np.arange(300) + 0.5, np.arange(260) + 0.5)
    spot = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * width**2))
    return (spot * 255).astype(np.uint8)[..., None].repeat(3, -1)


def middle_of_light(picture: np.ndarray) -> np.ndarray:
    """Mean place of the light in [0, 1] across a square picture."""
    light, size = picture[..., 0], len(picture)
    steps = (np.arange(size) + 0.5) / size
    return np.array([(light.sum(0) * steps).sum(), (light.sum(1) * steps).sum()]) / light.sum()


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
@pytest.mark.parametrize(("side", "size"), [(60.0, 97), (100.0, 100), (150.0, 50), (230.0, 40)])
def test_a_point_of_the_image_is_where_the_crop_says(angle: float, side: float, size: int) -> None:
    point = np.array([151.3, 118.6])
    crop = Crop(point + [4.0, -7.0], side, angle)
    seen = middle_of_light(cut(drawn(point, max(1.5, side / size)), crop, size))
    np.testing.assert_allclose(crop.onto_image(seen[None])[0], point, atol=0.1)


def test_a_crop_beyond_the_border_goes_on_with_it() -> None:
    image = np.full((50, 60, 3), 255, np.uint8)
    assert cut(image, Crop(np.array([0.0, 50.0]), 400.0, 0.4), 32).min() == 1.0


def test_crops_of_landmarks_turn_and_grow_with_the_hand() -> None:
    hand = np.random.default_rng(0).uniform(100, 200, (21, 2))
    turn, scale, shift = 0.9, 1.7, np.array([30.0, -20.0])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    first = crop_of_landmarks(hand)
    second = crop_of_landmarks(scale * hand @ rotation.T + shift)
    assert second.size == pytest.approx(scale * first.size)
    np.testing.assert_allclose(second.center, scale * rotation @ first.center + shift)
    assert np.angle(np.exp(1j * (second.angle - first.angle - turn))) == pytest.approx(0)


def test_fingers_point_up_in_a_crop() -> None:
    wrist, middle = np.array([80.0, 40.0]), np.array([20.0, 40.0])
    crop = crop_of_palm(np.array([[20.0, 10.0], [80.0, 70.0]]), wrist, middle)
    up = crop.onto_image(np.array([[0.5, 0.0]]))[0] - crop.center
    np.testing.assert_allclose(up / np.linalg.norm(up), [-1, 0], atol=1e-12)
    # The crop lies further to the fingers than the palm, and has room for them.
    assert crop.center[0] == pytest.approx(50 - 30) and crop.size == pytest.approx(2.6 * 60)
