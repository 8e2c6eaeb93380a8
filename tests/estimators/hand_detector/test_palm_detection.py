"""Boxes of palms: their anchors, and their blending against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from nerfstudio_hands.estimators.hand_detector.palm_detection import anchor_centers, blend_overlapping, letterbox


def test_anchors_cover_the_square_evenly() -> None:
    centers = anchor_centers()
    assert centers.shape == (2016, 2)
    np.testing.assert_allclose(centers.mean(0), 0.5)
    np.testing.assert_allclose(
        centers[[0, 1, 2, 48]], [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [0.5, 1.5]] / np.float64(24)
    )
    np.testing.assert_allclose(centers[[1152, 1157, 1158]], [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]] / np.float64(12))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union on a fine grid."""
    steps = (np.arange(400) + 0.5) / 200 - 0.5
    inside = [
        (np.abs(steps - box[0, 0]) < box[1, 0] / 2)[None] & (np.abs(steps - box[0, 1]) < box[1, 1] / 2)[:, None]
        for box in (a, b)
    ]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def test_overlapping_boxes_are_blended() -> None:
    rng = np.random.default_rng(4)
    points = np.concatenate(
        [rng.uniform(0, 1, (12, 1, 2)), rng.uniform(0.2, 0.5, (12, 1, 2)), rng.random((12, 7, 2))], 1
    )
    scores = rng.uniform(0.5, 1, 12)
    expected, left = [], sorted(range(12), key=lambda i: -scores[i])
    while left:
        group = [i for i in left if i == left[0] or overlap(points[left[0]], points[i]) > 0.3]
        expected.append(sum(points[i] * scores[i] for i in group) / sum(scores[i] for i in group))
        left = [i for i in left if i not in group]
    found, best = blend_overlapping(points, scores)
    assert 1 < len(found) < 12
    np.testing.assert_allclose(found, expected)
    assert (np.diff(best) < 0).all() and best[0] == scores.max()


def test_no_boxes_are_no_palms() -> None:
    found, best = blend_overlapping(np.zeros((0, 9, 2)), np.zeros(0))
    assert len(found) == len(best) == 0


@pytest.mark.parametrize("shape", [(300, 200), (120, 500), (64, 64)])
def test_a_image_lies_in_the_middle_of_its_square(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 255
    square, scale, offset = letterbox(image)
    steps = np.arange(192) + 0.5
    light = square[..., 0]
    seen = np.array([(light.sum(0) * steps).sum(), (light.sum(1) * steps).sum()]) / light.sum()
    expected = np.array([shape[1] // 4 + shape[1] // 2, shape[0] // 4 + shape[0] // 2]) / 2
    np.testing.assert_allclose((seen - offset) / scale, expected, atol=0.5)
