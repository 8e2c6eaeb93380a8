"""What pictures and cameras lack to be a capture of hands, told by the hands in them: landmarks, the unit."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from nerfstudio_hands.calibration.conventions import AS_WRITTEN
from nerfstudio_hands.calibration.hand_scale import ADULT_HAND_MM, sized
from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.misread import convention_of_capture
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.estimators.hand_detector import DetectedHand
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.files.npz_writing import write_npz
from nerfstudio_hands.preparation.kept_hands import found_hands
from nerfstudio_hands.preparation.sides import decide_sides, no_hand
from nerfstudio_hands.preparation.sources import Source
from nerfstudio_hands.program.progress import track

FIELDS = ("pixels", "metric")


def completed(capture: Capture) -> Capture:
    """The capture with landmarks, found in its pictures where it has none, of an adult's hands, and in metres.

    Args:
        capture: As it was read; one with landmarks in a known unit is given back as it is.

    Raises:
        HandsError: No hand is found, or its cameras show that they are to be read in another way.
    """
    if capture.metric_landmarks is not None and not np.isfinite(capture.detections).any():  # pyright: ignore[reportArgumentType, reportCallIssue]
        capture = _with_landmarks(capture)
        forms: np.ndarray = capture.metric_landmarks  # pyright: ignore[reportAssignmentType]
        capture = replace(capture, metric_landmarks=sized(forms, ADULT_HAND_MM))
    return capture if capture.metric or len(capture.cameras) < 2 else _in_meters(capture)


def _with_landmarks(capture: Capture) -> Capture:
    """With what the detector finds; it is kept in the cache."""
    file = cache_folder() / "landmarks" / f"{_key(capture)}.npz"
    try:
        kept = read_npz(file)
        if {name: kept[name].shape for name in FIELDS} == _shapes(capture):
            return replace(capture, detections=kept["pixels"], metric_landmarks=kept["metric"])
    except (UnreadableFile, KeyError):
        pass
    found = _detected(capture)
    sides = decide_sides(found, capture.camera_names, capture.cameras if len(capture.cameras) > 1 else None)
    if not np.isfinite(sides.pixels).any():
        raise no_hand(capture.root, len(capture.images))
    write_npz(file, {"pixels": sides.pixels, "metric": sides.metric}, expected="to keep landmarks")
    return replace(
        capture,
        detections=sides.pixels,
        metric_landmarks=sides.metric,
        problems=[*capture.problems, *sides.problems],
    )


def _shapes(capture: Capture) -> dict[str, tuple[int, ...]]:
    size = (len(capture.frames), len(capture.cameras), 2, 21)
    return {"pixels": (*size, 2), "metric": (*size, 3)}


def _key(capture: Capture) -> str:
    digest = hashlib.sha256()
    for key, path in sorted(capture.images.items()):
        status = path.stat()
        digest.update(repr((key, str(path.resolve()), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()[:24]


def _detected(capture: Capture) -> list[list[list[DetectedHand]]]:
    """Hands of each frame and camera, each picture by itself."""
    hands = [[[] for _ in capture.cameras] for _ in capture.frames]
    keys = sorted(capture.images, key=lambda key: (key[1], key[0]))
    files = tuple(capture.images[key] for key in keys)
    found = found_hands(Source(str(capture.root), files), map(read_image, files))
    for (frame, name), seen in zip(track(keys, "Finding hands"), found, strict=True):
        hands[capture.frames.index(frame)][capture.camera_index(name)] = seen
    return hands


def _in_meters(capture: Capture) -> Capture:
    """With cameras whose unit is told by the size of an adult's hand.

    Raises:
        HandsError: Rays of landmarks meet in no reading, or in another than the file's.
    """
    found = convention_of_capture(capture)
    if found.variant != AS_WRITTEN:
        raise HandsError(
            f"{found.sentence} `ns-hands prepare --images .. --calibration transforms.json --fix` reads it so."
        )
    read = found.calibration.cameras
    return replace(
        capture,
        cameras=[replace(c, world_to_camera=read[c.name].world_to_camera) for c in capture.cameras],
        problems=[*capture.problems, found.sentence],
        metric=True,
    )
