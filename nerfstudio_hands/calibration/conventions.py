"""Under which convention a calibration was written, told by the rays of landmarks: they meet under the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.hand_scale import ADULT_HAND_MM, hand_length, unit_of
from nerfstudio_hands.calibration.rays import meeting_points, pair_errors, stacked_rays
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration, in_meters, transforms
from nerfstudio_hands.errors import HandsError

MEETING = 0.04
"""Rays meet that miss each other, in the median, by at most this share of the hand's diameter in the picture: detectors
are right to about 6 mm of 200. Where all cameras look at the hand, wrong readings miss by little more than 0.05."""

MEETING_OF_TWO = 0.08
"""The same of two cameras among more, one of which may be turned by a degree, which a fit undoes."""

CLOSE = 0.02
"""Rays that miss each other by no more are read rightly: no detector is better."""

OWN = 2.0
"""A reading other than the file's has to bring rays nearer by this factor."""

NOWHERE = 1e4
"""Pixels beyond which rays are said to meet nowhere: those of most cameras come nearest behind them."""

RATIOS = (1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 2.0, 8 / 3, 3.0, 4.0)
"""Between the size of pictures and the one that K was made for."""

MAX_EXCHANGED = 8
"""Among so many cameras are two looked for that were exchanged."""

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])

AS_WRITTEN = "as written"


@dataclass(frozen=True)
class Convention:
    """How a calibration is to be read.

    Attributes:
        variant: What differs from the file; `AS_WRITTEN` where nothing does. None if rays meet in no reading.
        calibration: The cameras that were asked for, read so, in metres; as they were where rays meet in no reading.
        before: Pixels by which rays miss each other as written (median), inf where they meet behind cameras.
        after: The same as they are read now, of the cameras that agree.
        unit: Metres per unit of the file.
        outlying: Names of cameras that disagree with the others however they are read.
        sentence: All of this for people.
    """

    variant: str | None
    calibration: Calibration
    before: float
    after: float
    unit: float | None
    outlying: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class _Reading:
    """Cameras under one variant, and how their rays meet.

    Attributes:
        agreeing: Cameras whose rays meet those of all the others of them.
        outlying: The others that share landmarks with somebody.
        error: By which rays of those that agree miss each other, as a share of the hand (median).
        pixels: The same in pixels.
        pixels_of_all: The same of all cameras.
    """

    variant: str
    cameras: tuple[CalibratedCamera, ...]
    agreeing: tuple[int, ...]
    outlying: tuple[int, ...]
    error: float
    pixels: float
    pixels_of_all: float

    @property
    def explains(self) -> bool:
        """Whether rays meet, of more cameras than not."""
        return self.error <= MEETING and len(self.agreeing) > len(self.outlying)

    @property
    def rank(self) -> tuple[bool, int, float]:
        return self.explains, len(self.agreeing), -self.error


def find_convention(
    calibration: Calibration,
    names: Sequence[str],
    landmarks: Float[np.ndarray, "T C 2 21 2"],
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
    hand_length_mm: float = ADULT_HAND_MM,
) -> Convention:
    """Find the reading under which rays of landmarks meet, and the unit by the size of hands.

    Tried are camera-to-world for world-to-camera, axes of OpenGL, K of another picture size, and two cameras exchanged;
    the file's own convention stays where it explains the rays as well. A single camera that disagrees with two or more
    others is named.

    Args:
        calibration: With places of all cameras.
        names: Of the C cameras (or of the pictures of moving ones) as `Calibration.camera` knows them.
        landmarks: Pixels in the pictures as their lenses made them; NaN where absent.
        sizes: Width and height of the pictures of each camera, to know K of another size by.
        hand_length_mm: From the crease of the wrist to the tip of the middle finger.

    Raises:
        HandsError: A camera is unknown or has no place, or no two cameras share landmarks.
    """
    cameras = tuple(calibration.camera(name) for name in names)
    if any(camera.world_to_camera is None for camera in cameras):
        raise HandsError(
            f"{calibration.path}: expected the places of all cameras, found intrinsics only: calibrate the rig with "
            "`ns-hands calibrate`."
        )
    own = _judged(AS_WRITTEN, cameras, landmarks)
    if not own.agreeing:
        raise HandsError(
            f"{calibration.path}: expected landmarks of a hand that two of the cameras {', '.join(names)} see, found "
            "none: give landmarks of the same frames."
        )
    others = [_judged(variant, read, landmarks) for variant, read in _variants(cameras, sizes)]
    best = max(others, key=lambda reading: reading.rank)
    chosen = best if _is_better(best, own) else own
    if chosen.outlying or not chosen.explains:
        exchanged = [_judged(variant, read, landmarks) for variant, read in _exchanged(chosen)]
        whole = [reading for reading in exchanged if reading.explains and not reading.outlying]
        chosen = min(whole, key=lambda reading: reading.error, default=chosen)
    return _convention(calibration, landmarks, own, chosen, hand_length_mm)


def _is_better(other: _Reading, own: _Reading) -> bool:
    """Whether a reading explains what the file's own does not."""
    if not (other.explains and own.explains):
        return other.explains
    if len(other.agreeing) != len(own.agreeing):
        return len(other.agreeing) > len(own.agreeing)
    return own.error > CLOSE and own.error > OWN * other.error


def _variants(
    cameras: tuple[CalibratedCamera, ...], sizes: Sequence[tuple[int, int]] | None
) -> Iterator[tuple[str, tuple[CalibratedCamera, ...]]]:
    """Readings other than the one that was written, by what differs."""
    placements: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "": lambda matrix: matrix,
        "its transforms are camera-to-world": np.linalg.inv,
        "its camera axes are OpenGL's (y up, z backward)": lambda matrix: OPENGL @ matrix,
        "its transforms are camera-to-world with OpenGL's axes (y up, z backward)": lambda matrix: (
            OPENGL @ np.linalg.inv(matrix)
        ),
    }
    intrinsics = {"": cameras}
    resized = None if sizes is None else _resized(cameras, sizes)
    if resized is not None:
        intrinsics["its K is of another picture size"] = resized
    for placed, change in placements.items():
        for scaled, read in intrinsics.items():
            if placed or scaled:
                changed = tuple(replace(c, world_to_camera=change(c.transform)) for c in read)
                yield " and ".join(filter(None, (placed, scaled))), changed


def _resized(
    cameras: tuple[CalibratedCamera, ...], sizes: Sequence[tuple[int, int]]
) -> tuple[CalibratedCamera, ...] | None:
    """Cameras with K of the pictures' own size, of those whose K seems to be of another; None if none is."""
    changed = []
    for camera, size in zip(cameras, sizes, strict=True):
        # The principal point lies near the middle, which tells the size that a file does not.
        width = 2 * camera.intrinsics[0, 2] if camera.size is None or camera.size == size else camera.size[0]
        ratio = size[0] / max(width, 1.0)
        if camera.size is None or camera.size == size:
            ratio = min((1.0, *RATIOS), key=lambda known: abs(np.log(ratio / known)))
        scale = np.diag([ratio, ratio, 1.0])
        changed.append(replace(camera, intrinsics=scale @ camera.intrinsics, size=size))
    same = all(np.array_equal(a.intrinsics, b.intrinsics) for a, b in zip(cameras, changed, strict=True))
    return None if same else tuple(changed)


def _exchanged(reading: _Reading) -> Iterator[tuple[str, tuple[CalibratedCamera, ...]]]:
    """The same reading with two cameras exchanged: of those that disagree with the others, or of all."""
    outside = [c for c in range(len(reading.cameras)) if c not in reading.agreeing]
    # Where few cameras agree, they do so by chance.
    candidates = outside if len(outside) > 1 and reading.explains else range(len(reading.cameras))
    if len(candidates) > MAX_EXCHANGED:
        return
    for i, j in combinations(candidates, 2):
        cameras = list(reading.cameras)
        cameras[i], cameras[j] = cameras[j], cameras[i]
        first, second = (reading.cameras[c].name for c in (i, j))
        cameras[i], cameras[j] = replace(cameras[i], name=first), replace(cameras[j], name=second)
        prefix = "" if reading.variant == AS_WRITTEN else f"{reading.variant} and "
        yield f"{prefix}its cameras {first} and {second} are exchanged", tuple(cameras)


def _judged(
    variant: str, cameras: tuple[CalibratedCamera, ...], landmarks: Float[np.ndarray, "T C 2 21 2"]
) -> _Reading:
    rays = stacked_rays(cameras, landmarks)
    angles = pair_errors(rays, transforms(cameras))
    focals = np.array([camera.intrinsics[0, 0] for camera in cameras])
    diameters = np.array([_hand_diameter(landmarks[:, c]) for c in range(len(cameras))]) / focals
    shares = angles / np.sqrt(diameters[:, None] * diameters)
    pixels = angles * np.sqrt(focals[:, None] * focals)
    agreeing, outlying = _agreeing(shares)
    inside = np.ix_(agreeing, agreeing)
    return _Reading(
        variant, cameras, agreeing, outlying, _median(shares[inside]), _median(pixels[inside]), _median(pixels)
    )


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else np.inf


def _hand_diameter(landmarks: Float[np.ndarray, "T 2 21 2"]) -> float:
    """Median diagonal in pixels of the boxes round hands; NaN where there is none."""
    hands = landmarks.reshape(-1, 21, 2)
    hands = hands[np.isfinite(hands).all(axis=(1, 2))]
    return float(np.median(np.linalg.norm(np.ptp(hands, axis=1), axis=-1))) if len(hands) else np.nan


def _agreeing(shares: Float[np.ndarray, "C C"]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The cameras whose rays meet those of all others that share landmarks with them (two at least), and the others."""
    kept = [c for c in range(len(shares)) if np.isfinite(shares[c]).any()]
    left_out: list[int] = []
    while len(kept) > 2:
        inside = shares[np.ix_(kept, kept)]
        bad = (inside > MEETING_OF_TWO).sum(axis=1)
        if not bad.any():
            break
        error = np.where(np.isfinite(inside), inside, 0.0).sum(axis=1)
        left_out.append(kept.pop(int(np.lexsort((error, bad))[-1])))
    return tuple(kept), tuple(sorted(left_out))


def _convention(
    calibration: Calibration,
    landmarks: Float[np.ndarray, "T C 2 21 2"],
    own: _Reading,
    chosen: _Reading,
    hand_length_mm: float,
) -> Convention:
    before = own.pixels_of_all if own.pixels_of_all < NOWHERE else float("inf")
    if not chosen.explains:
        sentence = (
            f"{calibration.path}: expected rays of landmarks to meet in some reading of the calibration, found that "
            f"they miss each other {_missed(before)}: give the calibration of these cameras, frames of the same "
            "instants, or calibrate by the hand with `ns-hands calibrate --method hands`."
        )
        return Convention(None, calibration, before, before, calibration.unit, (), sentence)
    unit, said = _unit(calibration.unit, chosen, landmarks, hand_length_mm)
    found = {camera.name: camera for camera in chosen.cameras}
    read = replace(calibration, **{"images" if calibration.images else "cameras": found})
    outlying = tuple(chosen.cameras[c].name for c in chosen.outlying)
    return Convention(
        chosen.variant,
        read if unit is None else in_meters(read, unit),
        before,
        chosen.pixels,
        unit,
        outlying,
        _sentence(calibration, chosen, before, outlying, said),
    )


def _missed(pixels: float) -> str:
    return f"by {pixels:.0f} px" if np.isfinite(pixels) else "or meet behind the cameras"


def _unit(
    known: float | None, chosen: _Reading, landmarks: Float[np.ndarray, "T C 2 21 2"], hand_length_mm: float
) -> tuple[float | None, str]:
    """Metres per unit, and a part of a sentence; the unit as it was known where no finger was seen whole."""
    agreeing = list(chosen.agreeing)
    cameras = [chosen.cameras[c] for c in agreeing]
    points, _ = meeting_points(stacked_rays(cameras, landmarks[:, agreeing]), transforms(cameras))
    length = hand_length(points.reshape(-1, 2, 21, 3))
    if not (np.isfinite(length) and length > 0):
        return known, "no middle finger is seen whole, so that its unit is not told"
    return unit_of(length, hand_length_mm, known)


def _sentence(calibration: Calibration, chosen: _Reading, before: float, outlying: tuple[str, ...], unit: str) -> str:
    meeting = f"rays of landmarks meet to {chosen.pixels:.1f} px"
    if chosen.variant == AS_WRITTEN:
        parts = [f"{calibration.path}: {meeting}"]
    else:
        parts = [f"{calibration.path}: {chosen.variant}: read so, {meeting}; as written they miss {_missed(before)}"]
    if outlying:
        many = len(outlying) > 1
        parts.append(
            f"camera{'s' * many} {', '.join(outlying)} disagree{'s' * (not many)} with the other "
            f"{len(chosen.agreeing)}: check calibration and landmarks, or leave out"
        )
    return "; ".join([*parts, unit]) + "."
