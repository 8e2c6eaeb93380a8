"""Pictures that show at a glance whether the fitted hands lie on the photographed ones."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from nerfstudio_hands.fitting.silhouettes.contours import MaskBoundary
from nerfstudio_hands.hand_model.joints import JOINT_PARENTS
from nerfstudio_hands.inspection.hand_view import HandView

SIDE_COLORS = ((255, 60, 170), (0, 200, 255))
"""Left and right; neither is a color of skin."""

MASK_COLOR = (90, 255, 90)
SEEN_COLOR = (255, 230, 0)
HALO = (20, 20, 20)
BESIDE_IMAGE = (70, 70, 88)
"""Where a page shows no picture; black would be taken for one."""
LONGEST_SIDE = 1000
"""Pixels of an overlay's longer side, however small the picture is."""
NARROWEST = 640
"""Pixels of the page that a tall overlay stands on, so that a caption has room."""
TILE = 480
"""Pixels of the longer side of an overlay on the page of all."""
FONT, FONT_SCALE, LINE_HEIGHT, TEXT_MARGIN = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 20, 8
LEGEND = (
    "pink, blue: outline, skeleton and joints of the fitted left and right hand; ring: detected joint, white: its way "
    "to the fitted one; yellow: outline that the picture shows; green: mask"
)
# OpenCV draws at fixed-point coordinates with this many fractional bits.
SUBPIXEL_BITS = 4


def draw_overlay(view: HandView, seen: MaskBoundary | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Draw fitted outline and joints over a picture, cropped to the hands and brought to `LONGEST_SIDE`.

    Left pink, right blue: outline of the fitted hand, its skeleton, a dot at each fitted joint, a ring at each detected
    one with a line between the two. Green: outline of the mask. Yellow: outline that the picture shows.

    Args:
        view: The picture, and what projects into it.
        seen: That outline (`measure_outline`).
    """
    left, top, right, bottom = _crop(view)
    zoom = LONGEST_SIDE / max(right - left, bottom - top)
    size = (round((right - left) * zoom), round((bottom - top) * zoom))
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(np.ascontiguousarray(view.image[top:bottom, left:right]), size, interpolation=interpolation)

    def place(pixels: Float[np.ndarray, "*N 2"]) -> Int[np.ndarray, "*N 2"]:
        # Pixel (0, 0) of OpenCV has its centre at 0.5 of ours.
        return np.round(((pixels - (left, top)) * zoom - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)

    if view.mask is not None:
        _draw_boundary(canvas, view.mask, place, MASK_COLOR)
    for side, color in enumerate(SIDE_COLORS):
        _draw_boundary(canvas, view.sides == side, place, color)
    if seen is not None:
        dots = place(seen.points)[:, None].repeat(2, axis=1)
        cv2.polylines(canvas, list(dots), False, SEEN_COLOR, 3, cv2.LINE_AA, SUBPIXEL_BITS)
    for side, color in enumerate(SIDE_COLORS):
        _draw_joints(canvas, view.fitted[side], view.detections[side], place, color)
    return canvas


def with_caption(picture: UInt8[np.ndarray, "h w 3"], lines: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with a strip of text of one size above it, wrapped to its width; a narrow picture stands on a page of
    `NARROWEST`."""
    page = _on_page(picture, picture.shape[0], max(picture.shape[1], NARROWEST))
    return np.concatenate([_strip(lines, page.shape[1]), page])


def contact_sheet(
    overlays: Sequence[UInt8[np.ndarray, "h w 3"]], captions: Sequence[Sequence[str]]
) -> UInt8[np.ndarray, "H W 3"]:
    """All overlays on one page, row by row, with a caption each that is as legible as on a page of its own."""
    columns = int(np.ceil(np.sqrt(len(overlays))))
    strips = [_strip(lines, TILE) for lines in captions]
    tallest = max(len(strip) for strip in strips)
    strips, pictures = [_padded(strip, tallest) for strip in strips], [_fitted(overlay) for overlay in overlays]
    rows = [
        _row(strips[start : start + columns], pictures[start : start + columns], columns)
        for start in range(0, len(strips), columns)
    ]
    return np.concatenate([_strip([LEGEND], columns * TILE), *rows])


def _row(
    strips: Sequence[UInt8[np.ndarray, "s w 3"]], overlays: Sequence[UInt8[np.ndarray, "_ _ 3"]], columns: int
) -> UInt8[np.ndarray, "h W 3"]:
    """Captions over overlays, as high as the highest of these; empty places at the end."""
    height = max(overlay.shape[0] for overlay in overlays)
    tiles = [
        np.concatenate([strip, _on_page(overlay, height, TILE)])
        for strip, overlay in zip(strips, overlays, strict=True)
    ]
    tiles += [np.full_like(tiles[0], BESIDE_IMAGE)] * (columns - len(tiles))
    return np.concatenate(tiles, axis=1)


def _fitted(overlay: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
    scale = TILE / max(overlay.shape[:2])
    size = (max(round(overlay.shape[1] * scale), 1), max(round(overlay.shape[0] * scale), 1))
    return cv2.resize(overlay, size, interpolation=cv2.INTER_AREA)


def _on_page(picture: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """The picture in the middle of a page."""
    page = np.full((height, width, 3), BESIDE_IMAGE, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page


def _strip(lines: Sequence[str], width: int) -> UInt8[np.ndarray, "h w 3"]:
    # The font has no sign for degrees.
    rows = [row for line in lines for row in _wrapped(line.replace("°", " deg"), width - 2 * TEXT_MARGIN)]
    strip = np.full((LINE_HEIGHT * len(rows) + TEXT_MARGIN, width, 3), HALO, np.uint8)
    for index, row in enumerate(rows):
        at = (TEXT_MARGIN, LINE_HEIGHT * (index + 1) - 4)
        cv2.putText(strip, row, at, FONT, FONT_SCALE, (235, 235, 235), 1, cv2.LINE_AA)
    return strip


def _padded(strip: UInt8[np.ndarray, "h w 3"], height: int) -> UInt8[np.ndarray, "H w 3"]:
    rest = np.full((height - len(strip), *strip.shape[1:]), HALO, np.uint8)
    return np.concatenate([strip, rest])


def _wrapped(text: str, width: int) -> list[str]:
    """The text in rows of whole words that are at most so many pixels wide; a longer word has a row of its own."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if rows[-1] and cv2.getTextSize(longer, FONT, FONT_SCALE, 1)[0][0] > width:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def _crop(view: HandView) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part that holds projected hands and joints; all where there is none."""
    height, width = view.sides.shape
    rows, columns = np.nonzero(view.sides >= 0)
    points = np.concatenate([np.stack([columns, rows], -1), view.detections.reshape(-1, 2), view.fitted.reshape(-1, 2)])
    points = points[np.isfinite(points).all(-1)]
    points = points[((points >= 0) & (points < (width, height))).all(-1)]
    if len(points) == 0:
        return 0, 0, width, height
    low, high = points.min(0), points.max(0)
    margin = 0.12 * (high - low).max() + 8
    left, top = np.maximum(low - margin, 0).astype(int)
    right, bottom = np.minimum(high + margin, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _draw_boundary(canvas: np.ndarray, region: Bool[np.ndarray, "H W"], place, color: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours = [place(contour[:, 0] + 0.5) for contour in contours if len(contour) > 4]
    for paint, width in ((HALO, 4), (color, 2)):
        cv2.polylines(canvas, contours, True, paint, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_joints(
    canvas: np.ndarray, fitted: np.ndarray, detected: np.ndarray, place, color: tuple[int, int, int]
) -> None:
    def line(start: np.ndarray, end: np.ndarray, color: tuple[int, int, int]) -> None:
        if np.isfinite(start).all() and np.isfinite(end).all():
            for paint, width in ((HALO, 4), (color, 2)):
                cv2.line(canvas, place(start), place(end), paint, width, cv2.LINE_AA, SUBPIXEL_BITS)

    def circle(middle: np.ndarray, radius: int, width: int) -> None:
        if np.isfinite(middle).all():
            cv2.circle(
                canvas, place(middle), (radius + 1) << SUBPIXEL_BITS, HALO, width + 2, cv2.LINE_AA, SUBPIXEL_BITS
            )
            cv2.circle(canvas, place(middle), radius << SUBPIXEL_BITS, color, width, cv2.LINE_AA, SUBPIXEL_BITS)

    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0:
            line(fitted[parent], fitted[joint], color)
        line(fitted[joint], detected[joint], (255, 255, 255))
    for joint in range(len(JOINT_PARENTS)):
        circle(fitted[joint], 2, 4)
        circle(detected[joint], 7, 2)
