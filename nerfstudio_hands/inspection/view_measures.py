"""Pixel measurements of one view: its mask and its outlines against the projected hands, and how brightly it shows
them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerfstudio_hands.fitting.silhouettes.contours import away_from, contour_distance, mask_boundary
from nerfstudio_hands.fitting.silhouettes.mask_quality import mask_coverage, mask_spills, mask_verdict
from nerfstudio_hands.inspection.hand_view import HandView
from nerfstudio_hands.inspection.image_outline import ImageOutline, measure_outline

SATURATED = 250
"""Values from here on, of 255, are taken as clipped."""

ELSEWHERE_METERS = 0.006
"""Mean distance of a mask's outline from the hand's beyond which it is another picture's. Masks cut by hand or by color
lie within 2 mm; a hole has no partner in the outline and does not count."""

LEAST_AREA = 0.6
"""A mask with this share of the projected hands' area is not empty."""

MASK_REACH = 0.015
"""Metres within which outlines of a mask and of the hand are matched, where that is more than the fit's 15 pixels."""

MIN_LIGHT = 1e-3
"""Light below this is noise of an 8-bit picture (0.3 of its smallest step, in shadows)."""


@dataclass
class MaskQuality:
    """How a mask agrees with the projected hands.

    Attributes:
        coverage: Share of the projected hands, less a rim, that the mask covers.
        outline_distance: Mean distance between matched points of both outlines, pixels.
        outline_matched: Share of the projected outline that found a partner.
        spilt: Share of the views in which it covers all else, too.
        outline_meters: `outline_distance` at the depth of the hand.
        area: Of the mask, over that of the projected hands.
    """

    coverage: float
    outline_distance: float
    outline_matched: float
    spilt: float = 0.0
    outline_meters: float = 0.0
    area: float = 0.0

    @property
    def is_elsewhere(self) -> bool:
        """Whether it shows a hand that lies beside this one."""
        if mask_verdict(self.coverage) == "useless":
            return self.area > LEAST_AREA
        return self.outline_meters > ELSEWHERE_METERS

    @property
    def fault(self) -> str | None:
        """Why the mask is not to be trusted, in the fit's terms; None where it is good."""
        if self.spilt > 0.5:
            return "mask white all over"
        if self.is_elsewhere and mask_verdict(self.coverage) == "useless":
            return "mask elsewhere than the hand"
        if self.is_elsewhere:
            return f"mask {self.outline_distance:.0f} px ({self.outline_meters * 1000:.0f} mm) beside the hand"
        reasons = {
            "good": None,
            "holes": "mask has holes",
            "useless": "mask nearly empty",
        }
        return reasons[mask_verdict(self.coverage)]


@dataclass
class ViewMeasures:
    """Pixel measurements of one view: its mask, the brightness of the hand, also by face to compare cameras, and the
    outline that the picture itself shows."""

    mask: MaskQuality | None
    median: float
    saturated: float
    face_brightness: Float[np.ndarray, " F"]
    outline: ImageOutline | None = None


def measure_view(view: HandView, num_faces: int) -> ViewMeasures:
    """Measure mask, exposure and outline of a view; NaN where the hands project nowhere into the picture."""
    hand = view.sides >= 0
    # The rim of the projection may show background where the fit is a few pixels off.
    core = cv2.erode(hand.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    values = view.image[core].max(-1)
    return ViewMeasures(
        mask=_mask_quality(view) if view.mask is not None and hand.any() else None,
        median=float(np.median(values)) if values.size else float("nan"),
        saturated=float((values >= SATURATED).mean()) if values.size else float("nan"),
        face_brightness=_face_brightness(view, core, num_faces),
        outline=measure_outline(view),
    )


def linear_light(values: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Light in [0, 1] of sRGB values (IEC 61966-2-1)."""
    share = np.asarray(values) / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def camera_gains(brightness: Float[np.ndarray, "C S"], *, rounds: int = 30) -> Float[np.ndarray, " C"]:
    """Relative brightness of cameras from places on a surface that several of them see.

    Fits log brightness as camera plus place by alternating medians; a place is a face of the hand in a frame, so that
    the share of palm and back that a camera sees does not count. Clipped values must be NaN.

    Args:
        brightness: Mean linear light of each place in each camera, NaN where unseen.

    Returns:
        Factors with median 1; NaN for a camera that shares no place with another.
    """
    seen_twice = np.isfinite(brightness).sum(0) >= 2
    log = np.log(np.maximum(brightness[:, seen_twice], MIN_LIGHT))
    gain = np.zeros(len(log))
    known = np.isfinite(log).any(1)
    if not known.any():
        return np.full(len(log), np.nan)
    for _ in range(rounds):
        place = np.nanmedian(log - gain[:, None], axis=0)
        gain[known] = np.nanmedian(log[known] - place, axis=1)
    return np.where(known, np.exp(gain - np.median(gain[known])), np.nan)


def finite_median(values: object) -> float:
    """Median of the finite values, NaN where there are none."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def finite_mean(values: object) -> float:
    """Mean of the finite values, NaN where there are none."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _mask_quality(view: HandView) -> MaskQuality:
    meters = finite_mean(view.meters_per_pixel)
    radius = max(15.0, MASK_REACH / meters) if meters > 0 else 15.0
    outlines = contour_distance(view.outline, away_from(mask_boundary(view.mask), view.hidden), radius=radius)  # pyright: ignore[reportArgumentType]
    coverage = mask_coverage(view.mask, view.outline.silhouette, view.hidden)  # pyright: ignore[reportArgumentType]
    area = float(view.mask.sum() / max(view.outline.silhouette.sum(), 1))  # pyright: ignore[reportOptionalMemberAccess]
    spilt = mask_spills(view.mask, view.outline.silhouette)  # pyright: ignore[reportArgumentType]
    return MaskQuality(coverage, outlines.mean, outlines.matched, float(spilt), outlines.mean * meters, area)


def _face_brightness(view: HandView, core: Bool[np.ndarray, "H W"], num_faces: int) -> Float[np.ndarray, " F"]:
    # The darkest channel (blue, on skin) is the last to clip.
    darkest = view.image.min(-1)
    usable = core & (darkest < SATURATED)
    face = view.face[usable]
    count = np.bincount(face, minlength=num_faces)
    total = np.bincount(face, weights=linear_light(darkest[usable]), minlength=num_faces)
    # A face of one or two pixels is grazing or half hidden.
    return np.where(count >= 3, total / np.maximum(count, 1), np.nan)
