"""Palms in a picture: MediaPipe's single-shot detector with its anchors and its blending of boxes that overlap.

F. Zhang et al., MediaPipe Hands: On-device Real-time Hand Tracking, 2020 (arXiv:2006.10214); numbers of its graph
`palm_detection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.estimators.hand_detector.tflite_network import TfliteNetwork

SIZE = 192
"""Pixels a side of the network's picture."""

ANCHORS = ((24, 2), (12, 6))
"""Cells a side of each grid, and anchors a cell."""

MIN_SCORE = 0.5
"""Probability from which on a box counts."""

MAX_OVERLAP = 0.3
"""Intersection over union from which on two boxes show one palm."""

MAX_LOGIT = 100.0


@dataclass(frozen=True)
class Palm:
    """A palm in a picture, in its pixels.

    Attributes:
        box: Lower and upper corner.
        keypoints: Wrist, lowest joints of index, middle, ring and pinky, lower two joints of the thumb.
        score: Probability that it is one.
    """

    box: Float[np.ndarray, "2 2"]
    keypoints: Float[np.ndarray, "7 2"]
    score: float


def detect_palms(network: TfliteNetwork, image: UInt8[np.ndarray, "H W 3"]) -> list[Palm]:
    """Palms in a picture, the surest first.

    Args:
        network: MediaPipe's `palm_detection_full`.
        image: RGB.
    """
    square, scale, offset = letterbox(image)
    outputs = network(square)
    scores = 1 / (1 + np.exp(-np.clip(outputs["Identity_1"][:, 0], -MAX_LOGIT, MAX_LOGIT)))
    good = scores >= MIN_SCORE
    points = outputs["Identity"].reshape(-1, 9, 2)[good] / SIZE
    points[:, [0, 2, 3, 4, 5, 6, 7, 8]] += anchor_centers()[good][:, None]
    points, scores = blend_overlapping(points, scores[good])
    corners = points[:, :1] + np.array([[-0.5], [0.5]]) * points[:, 1:2]
    corners, keypoints = ((values * SIZE - offset) / scale for values in (corners, points[:, 2:]))
    return [Palm(*found) for found in zip(corners, keypoints, scores.tolist(), strict=True)]


def letterbox(
    image: UInt8[np.ndarray, "H W 3"],
) -> tuple[Float[np.ndarray, "192 192 3"], float, Float[np.ndarray, " 2"]]:
    """A picture in the middle of a black square.

    Returns:
        The square in [0, 1]; and scale and offset by which pixels of the picture become pixels of the square.
    """
    height, width = image.shape[:2]
    scale = SIZE / max(height, width)
    sides = np.maximum(np.round(np.array([width, height]) * scale).astype(int), 1)
    small = cv2.resize(image, tuple(sides.tolist()), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    across, down = (SIZE - sides) // 2
    square = np.zeros((SIZE, SIZE, 3), np.float32)
    square[down : down + sides[1], across : across + sides[0]] = small.astype(np.float32) / 255
    return square, scale, np.array([across, down], dtype=float)


@cache
def anchor_centers() -> Float[np.ndarray, "2016 2"]:
    """Centres of the anchors in [0, 1] across the square, row by row; all anchors of a cell share one."""
    grids = []
    for cells, anchors in ANCHORS:
        steps = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        grids.append(grid.repeat(anchors, axis=0))
    return np.concatenate(grids)


def blend_overlapping(
    points: Float[np.ndarray, "N K 2"], scores: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, "M K 2"], Float[np.ndarray, " M"]]:
    """Weighted non-maximum suppression: boxes that overlap the surest become one, blended by their scores.

    Args:
        points: Centre and size of each box, then its keypoints.
        scores: Probability of each.

    Returns:
        Likewise, the surest first; a blend has the score of its surest member.
    """
    left = np.argsort(-scores, kind="stable")
    blends, best = [], []
    while len(left):
        together = _overlap(points[left[0], :2], points[left, :2]) > MAX_OVERLAP
        together[0] = True
        members = left[together]
        blends.append(np.average(points[members], axis=0, weights=scores[members]))
        best.append(scores[left[0]])
        left = left[~together]
    return np.array(blends).reshape(-1, *points.shape[1:]), np.array(best)


def _overlap(box: Float[np.ndarray, "2 2"], others: Float[np.ndarray, "N 2 2"]) -> Float[np.ndarray, " N"]:
    """Intersection over union of boxes given as centre and size."""
    low = np.maximum(box[0] - box[1] / 2, others[:, 0] - others[:, 1] / 2)
    high = np.minimum(box[0] + box[1] / 2, others[:, 0] + others[:, 1] / 2)
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    return common / np.maximum(box[1].prod() + others[:, 1].prod(-1) - common, 1e-12)
