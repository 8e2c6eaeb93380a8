"""Pictures of forecasts: skeletons of what is said over skeletons of what came."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.motion.forecasting.metrics import joint_errors
from nerfstudio_hands.motion.forecasting.representations import Representation

TRUTH, SAID, TEXT, GROUND = (150, 150, 150), (40, 110, 230), (60, 60, 60), (255, 255, 255)
"""Colors, RGB."""

REACH = 0.12
"""Meters from the middle of a tile to its edge, about the size of a hand."""

SHIFT = 4
"""Binary digits of a pixel's fraction that lines are drawn with."""


def draw_skeleton(
    image: UInt8[np.ndarray, "H W 3"],
    joints: Float[np.ndarray, "J 3"],
    middle: Float[np.ndarray, "3"],
    color: tuple[int, int, int],
    *,
    width: int = 2,
) -> None:
    """Draws bones of a hand into a picture, seen from the front: x to the right, z up.

    Args:
        image: Changed in place.
        joints: The 21 joints, meters; other numbers of joints are drawn as points.
        middle: What lies in the middle of the picture.
        color: RGB.
        width: Pixels of a line.
    """
    height, full = image.shape[:2]
    scale = min(height, full) / (2 * REACH)
    flat = (joints - middle)[:, [0, 2]] * [scale, -scale] + [full / 2, height / 2]
    points = np.rint(flat * 2**SHIFT).astype(int)
    parents = JOINT_PARENTS if len(joints) == len(JOINT_PARENTS) else (-1,) * len(joints)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            begin, end = points[parent].tolist(), points[joint].tolist()
            cv2.line(image, begin, end, color, width, cv2.LINE_AA, SHIFT)
        else:
            cv2.circle(image, points[joint].tolist(), (width + 1) << SHIFT, color, -1, cv2.LINE_AA, SHIFT)


def forecast_image(
    representation: Representation,
    said: Float[Tensor, "B N S"],
    truth: Float[Tensor, "B N S"],
    fps: float,
    *,
    rows: int = 4,
    columns: int = 6,
    size: int = 150,
) -> UInt8[np.ndarray, "H W 3"]:
    """A sheet: a row a window, a column a moment; what came is gray, what was said blue.

    Args:
        representation: What states mean.
        said: Forecasts.
        truth: What came.
        fps: Frames a second.
        rows: Windows that are shown, spread from those of the least error to those of the greatest.
        columns: Moments that are shown.
        size: Pixels of a tile.
    """
    ours, theirs = representation.joints(said), representation.joints(truth)
    order = joint_errors(ours, theirs).mean(dim=(-1, -2)).argsort()
    chosen = order[np.linspace(0, len(order) - 1, rows + 2).astype(int)[1:-1]]
    frames = np.linspace(0, said.shape[1] - 1, columns).astype(int)
    sheet = np.full((rows * size, columns * size, 3), GROUND, np.uint8)
    for row, window in enumerate(chosen.tolist()):
        for column, frame in enumerate(frames):
            tile = sheet[row * size : (row + 1) * size, column * size : (column + 1) * size]
            both = [joints[window, frame].double().cpu().numpy() for joints in (theirs, ours)]
            middle = both[0].mean(axis=0)
            for joints, color in zip(both, (TRUTH, SAID), strict=True):
                draw_skeleton(tile, joints, middle, color)
            if row == 0:
                label = f"{1000 * (frame + 1) / fps:.0f} ms"
                cv2.putText(tile, label, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TEXT, 1, cv2.LINE_AA)
    return sheet
