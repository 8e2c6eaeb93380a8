"""Which frames of films become a capture: sharp ones, evenly spread, cut at the same instants in all cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.errors import HandsError

SHARPNESS_PIXELS = 256
"""Side of the square in which sharpness is measured, so that it does not depend on the size of the hand."""

MIN_OVERLAP = 0.3
"""Share of the shorter film that two must have in common."""

SAMPLES_PER_SECOND = 50.0
"""At which the speeds of landmarks are compared."""


@dataclass
class Film:
    """What was seen in one camera.

    Attributes:
        times: Seconds of each picture.
        sharpness: Of each picture, 0 where no hand was seen.
        landmarks: Pixels of the hand in each picture, NaN where none was seen; both hands side by side.
        period: Seconds from picture to picture, the median.
    """

    times: Float[np.ndarray, " N"]
    sharpness: Float[np.ndarray, " N"]
    landmarks: Float[np.ndarray, "N 42 2"]

    @property
    def period(self) -> float:
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1.0


def sharpness(image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "N 2"]) -> float:
    """Contrast of neighbouring pixels where the hand is seen; 0 where none is.

    Args:
        image: RGB.
        landmarks: Pixels, NaN where absent.
    """
    seen = landmarks[np.isfinite(landmarks).all(-1)]
    if not len(seen):
        return 0.0
    low, high = np.maximum(seen.min(0), 0).astype(int), seen.max(0).astype(int) + 1
    crop = image[low[1] : high[1], low[0] : high[0]]
    if min(crop.shape[:2]) < 2:
        return 0.0
    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SHARPNESS_PIXELS,) * 2, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_32F).var())


def choose_frames(films: Sequence[Film], offsets: Sequence[float], count: int) -> list[list[int | None]]:
    """The sharpest instant of each of `count` equal stretches of time.

    Args:
        films: Of each camera.
        offsets: Seconds by which each film's clock is behind the first one's.
        count: At most so many frames.

    Returns:
        For each instant, the picture of each camera; None where it has none then.

    Raises:
        HandsError: The films have no time in common.
    """
    begin = max(film.times[0] + offset for film, offset in zip(films, offsets, strict=True))
    end = min(film.times[-1] + offset for film, offset in zip(films, offsets, strict=True))
    clock = films[0].times + offsets[0]
    period = max(film.period for film in films)
    instants = np.flatnonzero((clock >= begin - period / 2) & (clock <= end + period / 2))
    if not len(instants):
        raise HandsError(
            f"--videos: expected films of the same time, found none in common with offsets of "
            f"{', '.join(f'{offset:.2f}' for offset in offsets)} s: correct --offset."
        )
    rows = [[_nearest(film, float(clock[i]) - offset, period) for film, offset in zip(films, offsets, strict=True)]
            for i in instants]  # fmt: skip
    # Sharp in all cameras: the worst one tells.
    sharp = np.array([min(_sharpness(film, i) for film, i in zip(films, row, strict=True)) for row in rows])
    edges = np.linspace(0, len(rows), min(count, len(rows)) + 1).round().astype(int)
    return [rows[low + int(sharp[low:high].argmax())] for low, high in zip(edges, edges[1:], strict=False)]


def _nearest(film: Film, time: float, period: float) -> int | None:
    index = int(np.abs(film.times - time).argmin())
    return index if abs(film.times[index] - time) <= 0.75 * period else None


def _sharpness(film: Film, index: int | None) -> float:
    return 0.0 if index is None else float(film.sharpness[index])


def find_offsets(films: Sequence[Film]) -> list[float]:
    """Seconds by which each film's clock is behind the first one's, from when the hand moves fast: the shift at which
    the speeds of landmarks go up and down together best."""
    return [0.0, *(_offset(films[0], film) for film in films[1:])]


def _offset(first: Film, second: Film) -> float:
    one, other = _speeds(first), _speeds(second)
    step = 1 / SAMPLES_PER_SECOND
    least = int(MIN_OVERLAP * min(len(one), len(other)))
    shifts = range(-(len(other) - least), len(one) - least + 1)
    score = {shift: _agreement(one, other, shift) for shift in shifts}
    best = max(score, key=lambda shift: (score[shift], -abs(shift)))
    return best * step + float(first.times[0] - second.times[0])


def _speeds(film: Film) -> Float[np.ndarray, " S"]:
    """Logarithm of the speed of the hand in hand sizes a second, at even times; NaN where it was not seen."""
    seen = film.landmarks
    moved = np.linalg.norm(np.diff(seen, axis=0), axis=-1)
    known = np.isfinite(moved).any(-1)
    size = np.array([np.nanmax(np.nanmax(hand, 0) - np.nanmin(hand, 0)) for hand in seen[1:][known]])
    step = np.nanmean(moved[known], -1) / np.diff(film.times)[known]
    speed = step / np.maximum(size, 1.0)
    middle = (film.times[1:] + film.times[:-1]) / 2
    at = np.arange(film.times[0], film.times[-1], 1 / SAMPLES_PER_SECOND)
    if known.sum() < 2:
        return np.full(len(at), np.nan)
    found = np.interp(at, middle[known], np.log(speed + 0.05))
    near = np.abs(at[:, None] - middle[known]).min(1) < 2 * film.period
    return np.where(near, found, np.nan)


def _agreement(one: Float[np.ndarray, " A"], other: Float[np.ndarray, " B"], shift: int) -> float:
    """Correlation of what both have when the other begins `shift` samples after the one."""
    a = one[max(shift, 0) : max(min(len(one), len(other) + shift), 0)]
    b = other[max(-shift, 0) :][: len(a)]
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < MIN_OVERLAP * min(len(one), len(other)) or a[both].std() * b[both].std() == 0:
        return -1.0
    return float(np.corrcoef(a[both], b[both])[0, 1])
