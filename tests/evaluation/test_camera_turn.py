"""A camera that is turned about its center is turned back by its pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfstudio_hands.evaluation.camera_turn import LIMIT_DEGREES, HandPair, hand_pair, turn_onto_images
from nerfstudio_hands.evaluation.image_metrics import Judged, predict

HEIGHT, WIDTH = 160, 200
INTRINSICS = np.array([[520.0, 0, 104], [0, 510, 77], [0, 0, 1]])


def hand_seen(degrees) -> np.ndarray:
    """Color and opacity, without any warp: five round fingers on a palm, textured, as functions of a ray's direction
    in a camera that is turned by these degrees."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(INTRINSICS).T
    rays = rays @ Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
    u, v = rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]
    inside = 0.05 - np.hypot(u, v - 0.04)
    for finger in range(5):
        away = np.hypot(u - 0.035 * (finger - 2), (v + 0.04) / 4)
        inside = np.maximum(inside, 0.012 - away)
    opacity = np.clip(inside * 500, 0, 1)
    texture = 0.5 + 0.15 * np.sin(180 * u) * np.cos(150 * v)
    return np.dstack([opacity * texture * shade for shade in (1.0, 0.8, 0.6)] + [opacity]).astype(np.float32)


def pair(degrees, *, counts: np.ndarray | None = None) -> HandPair:
    counts = np.ones((HEIGHT, WIDTH), bool) if counts is None else counts
    return HandPair(hand_seen((0, 0, 0)), hand_seen(degrees), counts, INTRINSICS)


@pytest.mark.parametrize("degrees", [(0.4, -0.3, 0.0), (-0.9, 0.8, 0.5), (0.0, 0.0, 0.0), (0.0, 0.0, -1.2)])
def test_the_turn_is_found_again(degrees) -> None:
    found = np.rad2deg(turn_onto_images([pair(degrees)]))
    np.testing.assert_allclose(found[:2], degrees[:2], atol=0.02)
    assert found[2] == pytest.approx(degrees[2], abs=0.05)


def test_no_camera_is_turned_beyond_the_limit() -> None:
    found = np.rad2deg(turn_onto_images([pair((2.4, 0.0, 0.0))]))
    assert np.linalg.norm(found) == pytest.approx(LIMIT_DEGREES) and found[0] > 1.4


def test_one_frame_in_which_the_avatar_is_wrong_does_not_turn_the_camera() -> None:
    turned = (0.5, 0.2, 0.0)
    wrong = HandPair(hand_seen((0, 0, 0)), hand_seen((0.1, 1.4, 0)), np.ones((HEIGHT, WIDTH), bool), INTRINSICS)
    found = np.rad2deg(turn_onto_images([pair(turned)] * 4 + [wrong]))
    np.testing.assert_allclose(found[:2], turned[:2], atol=0.15)


def test_pixels_that_do_not_count_say_nothing() -> None:
    counts = np.ones((HEIGHT, WIDTH), bool)
    counts[110:] = False
    spoilt = pair((0.4, -0.3, 0.0), counts=counts)
    spoilt.truth[110:] = 1
    np.testing.assert_allclose(np.rad2deg(turn_onto_images([spoilt]))[:2], (0.4, -0.3), atol=0.03)


def test_the_boundary_of_the_mask_counts_and_the_forearm_does_not() -> None:
    """The hand of the figures' region is eroded, and below it the mask goes on."""
    truth = hand_seen((0.3, 0.5, 0.0))
    mask = truth[..., 3] > 0.5
    mask[120:, 90:118] = True
    region = torch.from_numpy((truth[..., 3] > 0.99) & (np.arange(HEIGHT) < 115)[:, None])
    picture = torch.from_numpy(np.where(mask[..., None], np.maximum(truth[..., :3], 0.3), 0.9).astype(np.float32))
    judged = Judged(picture, region, torch.ones_like(region))
    shown = torch.from_numpy(hand_seen((0, 0, 0)))
    found = hand_pair(predict(shown[..., :3], shown[..., 3], judged), judged, mask, INTRINSICS)
    assert not found.counts.all() and found.truth.shape == (*found.counts.shape, 4)
    np.testing.assert_allclose(np.rad2deg(turn_onto_images([found]))[:2], (0.3, 0.5), atol=0.05)
