"""Landmarks of pictures on disk: our own form, and those of other programs, told apart by their content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.captures.foreign_landmarks import ForeignHands, read_foreign_hands
from nerfstudio_hands.captures.joint_checks import check_landmarks, of_no_hand
from nerfstudio_hands.captures.pose_json import DETECTION_KEYS, pose_pixels, pose_values
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.atomic import written_whole
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

MAX_OUTSIDE = 1.25
"""Times the picture's size within which the median landmark of a hand lies; beyond it another picture is meant."""

MAX_FRACTION, MIN_FRACTION = 2.0, -0.1
"""Between these lie fractions of a picture, beyond its border too; below the second one they count from its middle."""

REMEDY = "write it again with `ns-hands detect`, or remove it."


@dataclass(frozen=True)
class ImageLandmarks:
    """Landmarks of the hands in one picture; sides are anatomical, in the order left, right.

    Attributes:
        pixels: Of the 21 landmarks in MediaPipe order; the centre of the upper left pixel is (0.5, 0.5). NaN where
            absent.
        metric: The same landmarks in metres about the hand's own centre, camera axes (x right, y down, z forward); NaN
            where absent.
        score: How sure the detector is of each hand, in [0, 1]; NaN where absent.
        problems: A sentence for each thing that was odd in the file and was survived.
    """

    pixels: Float[np.ndarray, "2 21 2"]
    metric: Float[np.ndarray, "2 21 3"]
    score: Float[np.ndarray, " 2"]
    problems: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[bool, bool]:
        """Whether the picture shows a left and a right hand."""
        left, right = (bool(np.isfinite(hand).all(-1).any()) for hand in self.pixels)
        return left, right


def no_landmarks() -> ImageLandmarks:
    """What is known of a picture without hands."""
    return ImageLandmarks(np.full((2, 21, 2), np.nan), np.full((2, 21, 3), np.nan), np.full(2, np.nan))


def write_landmarks(path: Path, landmarks: ImageLandmarks) -> None:
    """Write the landmarks of a picture as JSON, whole or not at all; its folder has to be there.

    `{"Left": null | {"pixels": [[x, y], ..], "score": s, "metric": [[x, y, z], ..]}, "Right": ..}`; a landmark that is
    absent is `[null, null]`, and `score` and `metric` stand there where they are known.

    Raises:
        HandsError: The file cannot be written.
    """
    content = {key: _written_hand(landmarks, side) for side, key in enumerate(DETECTION_KEYS)}
    try:
        with written_whole(path) as part:
            part.write_text(json.dumps(content, allow_nan=False), encoding="utf8")
    except OSError as error:
        raise HandsError(
            f"{path}: expected to write landmarks there, found '{error.strerror}': free some space or choose another "
            "folder."
        ) from error


def _written_hand(landmarks: ImageLandmarks, side: int) -> dict[str, Any] | None:
    if not landmarks.present[side]:
        return None
    hand: dict[str, Any] = {"pixels": _rounded(landmarks.pixels[side], 3)}
    if np.isfinite(landmarks.score[side]):
        hand["score"] = round(float(landmarks.score[side]), 4)
    if np.isfinite(landmarks.metric[side]).any():
        hand["metric"] = _rounded(landmarks.metric[side], 6)
    return hand


def _rounded(values: Float[np.ndarray, "21 D"], digits: int) -> list[list[float | None]]:
    return [[round(v, digits) if np.isfinite(v) else None for v in row] for row in values.tolist()]


def read_landmarks(path: Path, size: tuple[int, int]) -> ImageLandmarks:
    """Read the landmarks of one picture; see `read_landmark_files`, which looks at all pictures of a camera.

    Args:
        path: The file.
        size: Width and height of the picture, pixels.

    Raises:
        HandsError: The file cannot be read, is in no known form, or belongs to another picture.
    """
    return read_landmark_files([path], [size])[0]


def read_landmark_files(paths: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> list[ImageLandmarks]:
    """Read the landmarks of many pictures, which tell together how one program normalised them.

    Known are our own form (`write_landmarks`), that of a capture room (`pose_json.read_poses`), and those of OpenPose,
    MMPose and COCO-WholeBody (`foreign_landmarks.read_foreign_hands`). Numbers that turn out to be fractions of a
    picture, or pixels of one whose size the file says, are brought to the picture's pixels, and that is said.

    Args:
        paths: File of each picture.
        sizes: Width and height of each picture, pixels.

    Returns:
        Landmarks of each picture; what is odd in all of them is said with the first.

    Raises:
        HandsError: A file cannot be read, is in no known form, or belongs to another picture.
    """
    found: list[ImageLandmarks] = []
    poses: dict[int, Float[np.ndarray, "2 21 2"]] = {}
    for path, size in zip(paths, sizes, strict=True):
        content = _content(path)
        foreign = read_foreign_hands(path, content)
        if foreign is not None:
            found.append(_from_foreign(path, foreign, size))
        elif _is_ours(content):
            found.append(_unnormalized(path, _read_ours(path, content), size, 0.0))
        else:
            poses[len(found)] = pose_values(path, content)
            found.append(no_landmarks())
    _place_poses(found, poses, paths, sizes)
    for path, landmarks, size in zip(paths, found, sizes, strict=True):
        _check_size(path, landmarks.pixels, size)
        check_landmarks(path, landmarks.pixels, size)
    return found


def _content(path: Path) -> Any:
    try:
        return read_json(path)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected landmarks as JSON, found '{error}': {REMEDY}") from error


def _is_ours(content: Any) -> bool:
    """Whether no side is a list, which a capture room writes."""
    sides = [content[key] for key in DETECTION_KEYS if key in content] if isinstance(content, dict) else []
    return bool(sides) and not any(isinstance(side, list) for side in sides)


def _read_ours(path: Path, content: dict[str, Any]) -> ImageLandmarks:
    landmarks = no_landmarks()
    for side, key in enumerate(DETECTION_KEYS):
        hand = content.get(key)
        if hand is None:
            continue
        if not isinstance(hand, dict) or "pixels" not in hand:
            raise HandsError(f"{path}: expected {key} to be null or an object with pixels, found none: {REMEDY}")
        landmarks.pixels[side] = _array(path, f"{key}.pixels", hand["pixels"], (21, 2))
        landmarks.score[side] = _array(path, f"{key}.score", hand.get("score"), ())
        if "metric" in hand:
            landmarks.metric[side] = _array(path, f"{key}.metric", hand["metric"], (21, 3))
            if of_no_hand(landmarks.metric[side]).any():
                raise HandsError(
                    f"{path}: expected a hand in metres under {key}.metric, found one of no hand's size: {REMEDY}"
                )
    return landmarks


def _array(path: Path, key: str, values: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Numbers of a shape; null becomes NaN."""
    kind = " x ".join(map(str, shape)) + " numbers" if shape else "a number"
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise HandsError(f"{path}: expected {kind} under {key}, found '{error}': {REMEDY}") from error
    if array.shape != shape or np.isinf(array).any():
        found = "infinity" if array.shape == shape else f"shape {array.shape}"
        raise HandsError(f"{path}: expected {kind} under {key}, found {found}: {REMEDY}")
    return array


def _from_foreign(path: Path, hands: ForeignHands, size: tuple[int, int]) -> ImageLandmarks:
    landmarks = replace(no_landmarks(), pixels=hands.pixels, score=hands.score, problems=hands.problems)
    if hands.size is None or hands.size == size:
        return _unnormalized(path, landmarks, size, PIXEL_CENTER)
    said = (
        f"{path}: the landmarks are of a picture of {hands.size[0]}x{hands.size[1]} pixels and were scaled to "
        f"{size[0]}x{size[1]}."
    )
    return replace(landmarks, pixels=hands.pixels * np.array(size) / hands.size, problems=(*landmarks.problems, said))


def _unnormalized(path: Path, landmarks: ImageLandmarks, size: tuple[int, int], offset: float) -> ImageLandmarks:
    """Pixels of landmarks that turn out to be fractions of the picture: no hand has its landmarks in two pixels.

    Args:
        path: Their file.
        landmarks: As they were read.
        size: Width and height of the picture, pixels.
        offset: What has been added to name the centre of a pixel.
    """
    fractions = landmarks.pixels - offset
    if not any(landmarks.present) or np.nanmax(np.abs(fractions)) > MAX_FRACTION:
        return landmarks
    centered = bool(np.nanmin(fractions) < MIN_FRACTION)
    pixels = ((fractions + 1) / 2 if centered else fractions) * np.array(size)
    span = "[-1, 1]" if centered else "[0, 1]"
    said = f"{path}: the landmarks are in {span} across the picture, not in pixels; read so."
    return replace(landmarks, pixels=pixels, problems=(*landmarks.problems, said))


def _place_poses(
    found: list[ImageLandmarks],
    poses: dict[int, Float[np.ndarray, "2 21 2"]],
    paths: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
) -> None:
    """Puts the landmarks of capture rooms into their places in `found`."""
    if not poses:
        return
    pixels, problems = pose_pixels([paths[i] for i in poses], np.stack(list(poses.values())), [sizes[i] for i in poses])
    for index, hands in zip(poses, pixels, strict=True):
        found[index] = replace(found[index], pixels=hands)
    first = next(iter(poses))
    found[first] = replace(found[first], problems=tuple(problems))


def _check_size(path: Path, pixels: Float[np.ndarray, "2 21 2"], size: tuple[int, int]) -> None:
    """Landmarks far outside of the picture are those of a larger one."""
    hands = pixels[np.isfinite(pixels).all((-1, -2))]
    if len(hands) and (np.median(hands, axis=1) > MAX_OUTSIDE * np.array(size)).any():
        x, y = hands.reshape(-1, 2).max(axis=0)
        raise HandsError(
            f"{path}: expected landmarks in a picture of {size[0]}x{size[1]} pixels, found them up to ({x:.0f}, "
            f"{y:.0f}): detect in the pictures that are used, or scale the landmarks as the pictures were scaled."
        )
