"""Turning a held-out camera onto its own pictures.

A calibration may itself be a degree off, and nothing that training sees corrects a camera that it does not see. As in
BARF (Lin et al. 2021, section 4.2) the avatar stays as it is and the camera of the test moves; here it turns about its
own center alone. Such a turn moves its pictures by a homography, so that drawn pictures are registered to photographed
ones (Lucas and Kanade 1981, in the compositional form of Baker and Matthews 2004) without drawing any again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.evaluation.image_metrics import Judged, Prediction
from nerfstudio_hands.transforms.pixel_distances import distance_to
from nerfstudio_hands.transforms.rotations import composed, rotation_matrix

LIMIT_DEGREES = 1.5
"""A camera that is further off is no camera to evaluate with."""
RIM = 4.0
"""Pixels round the judged region that the mask's boundary, which counts for nothing there, is within."""
LEVELS = ((8, 3.0), (4, 3.0), (2, 3.0), (1, 3.0), (1, 1.5))
"""How pictures are compared one time after the other: how much smaller, and through a Gaussian of how many pixels'
standard deviation. At first no finger can be taken for the next, at last a tenth of a pixel is seen."""
STEPS = 10
"""Of Gauss-Newton at most with each of them."""
SETTLED = 1e-5
"""Radians below which a step ends them: a hundredth of a pixel."""
HUBER = 0.1
"""Difference of color or opacity from which it counts linearly: there the avatar is wrong, not the camera."""
DAMPING = 1e-3
"""Of the normal equations, as a share of their mean diagonal: a few pixels say nothing of a turn about the axis."""


@dataclass(frozen=True)
class HandPair:
    """What an avatar shows near the hand, and the picture there.

    Attributes:
        drawn: Color over black, fitted to the picture's exposure, and opacity.
        truth: The same of the picture: the hand over black, and 1 where it is.
        counts: Pixels of the picture that say something.
        intrinsics: K of this part of the picture, pixels.
    """

    drawn: Float[np.ndarray, "H W 4"]
    truth: Float[np.ndarray, "H W 4"]
    counts: Bool[np.ndarray, "H W"]
    intrinsics: Float[np.ndarray, "3 3"]

    @cached_property
    def pixel_motion(self) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W 3"]]:
        """Derivatives, by a turn of the camera, of the place (x, y) in the drawn picture that each pixel shows."""
        height, width = self.counts.shape
        (f_x, _, c_x), (_, f_y, c_y) = self.intrinsics[:2].astype(np.float32)
        x = ((np.arange(width, dtype=np.float32) + 0.5 - c_x) / f_x)[None].repeat(height, axis=0)
        y = ((np.arange(height, dtype=np.float32) + 0.5 - c_y) / f_y)[:, None].repeat(width, axis=1)
        return f_x * np.dstack([x * y, -1 - x * x, y]), f_y * np.dstack([1 + y * y, -x * y, -x])


def hand_pair(
    prediction: Prediction, judged: Judged, mask: Bool[np.ndarray, "H W"], intrinsics: Float[np.ndarray, "3 3"]
) -> HandPair:
    """Cuts out what `turn_onto_images` compares: the hand, and as far round it as a turn may move it.

    Args:
        prediction: What the avatar shows.
        judged: The picture.
        mask: Its mask, also of what is no hand: that, and what lies near it, does not count. The mask's boundary does,
            other than in figures, because it says better than all else where the hand is.
        intrinsics: K, pixels.
    """
    region = judged.region.cpu().numpy()
    hand = mask & (distance_to(region) <= RIM)
    counts = distance_to(mask & ~hand) > 2 * RIM
    drawn = np.dstack([prediction.calibrated.cpu().numpy(), prediction.drawn.cpu().numpy()]).astype(np.float32)
    truth = np.dstack([judged.truth.cpu().numpy() * hand[..., None], hand]).astype(np.float32)
    reach = np.deg2rad(LIMIT_DEGREES) * intrinsics[0, 0] + RIM
    rows, columns = (np.flatnonzero((distance_to(region) <= reach).any(axis=axis)) for axis in (1, 0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    moved = intrinsics - np.array([[0, 0, columns[0]], [0, 0, rows[0]], [0, 0, 0]])
    return HandPair(drawn[window], truth[window], counts[window], moved)


def turn_onto_images(pairs: Sequence[HandPair]) -> Float[np.ndarray, " 3"]:
    """The turn of a camera about its center that lays what is drawn in it on its pictures, at most `LIMIT_DEGREES`.

    Args:
        pairs: Of one camera, from any frames.

    Returns:
        Rotation vector, radians, in the camera's OpenCV axes: `X_cam' = R(turn) @ X_cam`.
    """
    turn = torch.zeros(3, dtype=torch.float64)
    for factor, blur in LEVELS:
        smaller = [_shrunk(pair, factor) for pair in pairs]
        for _ in range(STEPS):
            equations = [_normal_equations(pair, rotation_matrix(turn).numpy(), blur) for pair in smaller]
            matrix, vector = (sum(part) for part in zip(*equations, strict=True))
            step = -np.linalg.solve(matrix + (DAMPING * np.trace(matrix) / 3 + 1e-12) * np.eye(3), vector)
            before = turn
            turn = _within_limit(composed(torch.from_numpy(step), turn))
            if (turn - before).norm() < SETTLED:
                break
    return turn.numpy()


def _within_limit(turn: torch.Tensor) -> torch.Tensor:
    return turn * (np.deg2rad(LIMIT_DEGREES) / turn.norm().clamp_min(1e-12)).clamp_max(1)


def _shrunk(pair: HandPair, factor: int) -> HandPair:
    height, width = pair.counts.shape
    size = max(width // factor, 1), max(height // factor, 1)
    drawn, truth, counts = (
        cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for image in (pair.drawn, pair.truth, pair.counts.astype(np.float32))
    )
    return HandPair(drawn, truth, counts > 0.99, np.diag([size[0] / width, size[1] / height, 1]) @ pair.intrinsics)


def _normal_equations(
    pair: HandPair, rotation: Float[np.ndarray, "3 3"], blur: float
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Of a further turn: of the differences between the drawn picture of the turned camera and the photographed one."""
    turned, known = _turned(pair.drawn, pair.intrinsics, rotation)
    counts = (pair.counts & known)[..., None].astype(np.float32)
    difference = _blurred((turned - pair.truth) * counts, blur)
    down, across = np.gradient(_blurred(turned, blur), axis=(0, 1))
    by_x, by_y = pair.pixel_motion
    slope = (across[..., None] * by_x[:, :, None] + down[..., None] * by_y[:, :, None]) * counts[..., None]
    size = np.linalg.norm(difference, axis=-1, keepdims=True)
    weighted = slope * (HUBER / np.maximum(size, HUBER))[..., None]
    rows, weighted = slope.reshape(-1, 3), weighted.reshape(-1, 3)
    return (weighted.T @ rows).astype(np.float64), (weighted.T @ difference.reshape(-1)).astype(np.float64)


def _blurred(image: Float[np.ndarray, "H W C"], sigma: float) -> Float[np.ndarray, "H W C"]:
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _turned(
    image: Float[np.ndarray, "H W C"], intrinsics: Float[np.ndarray, "3 3"], rotation: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "H W C"], Bool[np.ndarray, "H W"]]:
    """The picture of the turned camera, and which of its pixels the other one has seen."""
    # OpenCV's pixel centers are whole numbers.
    k = intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    back = k @ rotation.T @ np.linalg.inv(k)
    height, width = image.shape[:2]
    layers = np.dstack([image, np.ones((height, width, 1), np.float32)])
    planes = [
        cv2.warpPerspective(layers[..., c], back, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        for c in range(layers.shape[2])
    ]
    return np.dstack(planes[:-1]), planes[-1] > 0.99
