"""Where a picture itself shows the outline of a hand, and how far beside it the fitted hand lies.

No mask is asked, neither the capture's nor one that the fit kept: colors near the projected hand are cut in two
(GrabCut), and the cut is moved onto the edges of the picture. It is looked for on both sides of the projection, further
away than a hand is ever called good.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from nerfstudio_hands.fitting.silhouettes.contours import (
    MaskBoundary,
    ProjectedSilhouette,
    contour_distance,
)
from nerfstudio_hands.fitting.silhouettes.segmentation import segment_hands, trusted_outline
from nerfstudio_hands.inspection.hand_view import HandView
from nerfstudio_hands.transforms.pixel_distances import distance_to, longest_side

BANDS_METERS = (0.015, 0.008)
"""How far from the projection the outline is looked for: the second where no pixel of the hand is further inside."""

LONGEST_HAND = 300
"""Pixels of the projected hand's longer side in the reduced picture, in which an outline is known to half a pixel."""

ELSEWHERE = 0.4
"""A picture that shows this share of an outline, and less than this share of it where the hand projects, shows it
somewhere else."""

LEAST_MATCHED = 0.1
"""An outline of which less than this share is found where the hand projects says nothing of it, unless it is one that
the picture shows somewhere else."""

BESIDE_METERS, BESIDE_PIXELS = 0.0022, 5.0
"""Mean distances of matched points beyond which a hand lies beside its picture. Of a shift the mean shows a part alone,
along the fingers a third, because the hand slides along its outline. A good registration has one millimetre or less."""

SPACING = 2.0
"""Pixels between points of a projected outline at full resolution (`projected_silhouette`)."""

FINEST_PIXELS = 1.5
"""No distance below this is told from none, however coarse the picture."""


@dataclass
class OutlineQuality:
    """How the outline of the projected hands agrees with that of the picture.

    Attributes:
        distance: Mean distance between matched points of both, pixels at full resolution.
        meters: The same at the depth of the hand.
        matched: Share of the projected outline, less wrist and hidden parts, that found a partner in the picture.
        shown: Length of the outline that the picture shows near the hand, over that of the projected one.
    """

    distance: float
    meters: float
    matched: float
    shown: float

    @property
    def fault(self) -> str | None:
        """Why the hand is not where the picture shows it; None where it is, or the picture does not tell."""
        if self.shown > ELSEWHERE > self.matched:
            return f"outline elsewhere (found {self.matched:.0%})"
        beside = self.meters > BESIDE_METERS or self.distance > BESIDE_PIXELS
        if beside and self.distance > FINEST_PIXELS:
            return f"hand {self.distance:.0f} px ({self.meters * 1000:.0f} mm) beside its picture"
        return None


@dataclass
class ImageOutline:
    """The outline that a picture shows, full-resolution pixels, and how the projected hands agree with it."""

    seen: MaskBoundary
    quality: OutlineQuality


@dataclass
class _Picture:
    """A view, reduced, with the outline of the projected hands in its pixels."""

    image: UInt8[np.ndarray, "h w 3"]
    outline: ProjectedSilhouette
    forearm: Bool[np.ndarray, "h w"]
    hidden: Bool[np.ndarray, "h w"]


def measure_outline(view: HandView) -> ImageOutline | None:
    """The outline in a picture; None where the hands project nowhere into it, or it shows no edge near them."""
    known = view.meters_per_pixel[np.isfinite(view.meters_per_pixel)]
    if not view.outline.silhouette.any() or not len(known):
        return None
    meters = float(known.mean())
    scale = min(1.0, LONGEST_HAND / longest_side(view.outline.silhouette))
    picture = _reduced(view, scale)
    for band in BANDS_METERS:
        reach = band / meters * scale
        seen = _seen_outline(picture, reach)
        if not len(seen.points):
            continue
        counted = _counted(picture, reach)
        found = contour_distance(counted, seen, radius=reach)
        shown = len(seen.points) / max(SPACING * scale * int(counted.is_hand.sum()), 1)
        if found.matched < LEAST_MATCHED and shown <= ELSEWHERE:
            continue
        distance = found.mean / scale
        quality = OutlineQuality(distance, distance * meters, found.matched, shown)
        return ImageOutline(replace(seen, points=seen.points / scale), quality)
    return None


def _reduced(view: HandView, scale: float) -> _Picture:
    height, width = (max(round(side * scale), 1) for side in view.image.shape[:2])

    def resized(pixels: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "h w"]:
        return cv2.resize(pixels.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5

    outline = view.outline
    hidden = np.zeros(view.image.shape[:2], bool) if view.hidden is None else view.hidden
    return _Picture(
        cv2.resize(view.image, (width, height), interpolation=cv2.INTER_AREA),
        replace(outline, points=outline.points * scale, silhouette=resized(outline.silhouette)),
        resized(view.forearm),
        resized(hidden),
    )


def _seen_outline(picture: _Picture, reach: float) -> MaskBoundary:
    """Edges of the picture where its colors change from the hand's to those beside it."""
    silhouette = picture.outline.silhouette & ~picture.hidden
    mask, trusted = segment_hands(picture.image, silhouette, picture.forearm, band=reach)
    return trusted_outline(picture.image, mask & ~picture.hidden, trusted, picture.hidden)


def _counted(picture: _Picture, reach: float) -> ProjectedSilhouette:
    """The projected outline without what the picture cannot confirm: near the wrist, and where an object hides it."""
    unknown = (distance_to(picture.forearm) <= reach) | (distance_to(picture.hidden) <= reach)
    outline = picture.outline
    x, y = np.clip(outline.points.astype(int), 0, np.array(unknown.shape[::-1]) - 1).T
    return replace(outline, is_hand=outline.is_hand & ~unknown[y, x])
