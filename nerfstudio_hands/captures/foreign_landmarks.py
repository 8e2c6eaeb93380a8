"""Landmarks as programs for whole bodies write them: OpenPose, and MMPose and others in COCO-WholeBody's order.

They name the centre of a pixel by whole numbers, as COCO does, and both hands by their anatomical side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

OPENPOSE_HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
COCO_HANDS = ("lefthand_kpts", "righthand_kpts")

WHOLE_BODY, LEFT_HAND, RIGHT_HAND = 133, slice(91, 112), slice(112, 133)
"""Points of COCO-WholeBody, and those of the hands (S. Jin et al., Whole-Body Human Pose Estimation in the Wild)."""

REMEDY = "write one file a picture, with the hands of all people in it."


@dataclass(frozen=True)
class ForeignHands:
    """Hands of the person whose hands are surest; sides in the order left, right, NaN where absent.

    Attributes:
        pixels: The centre of the upper left pixel is (0.5, 0.5), unless they turn out to be no pixels.
        score: Mean confidence of a hand's landmarks, in [0, 1].
        size: Width and height of the picture, where the file says it.
        problems: A sentence where it shows several people.
    """

    pixels: Float[np.ndarray, "2 21 2"]
    score: Float[np.ndarray, " 2"]
    size: tuple[int, int] | None
    problems: tuple[str, ...]


def read_foreign_hands(path: Path, content: Any) -> ForeignHands | None:
    """Hands of one picture from OpenPose's, MMPose's or COCO's JSON; None where the content is none of these.

    Args:
        path: The file, for sentences; COCO's annotations of several pictures are searched for the one of its name.
        content: What is in it.

    Raises:
        HandsError: It is one of these and broken, tells of several pictures, or has no hands among its points.
    """
    if isinstance(content, dict) and isinstance(content.get("people"), list):
        people = [_openpose_person(path, person) for person in content["people"]]
        return _surest(path, people, None)
    instances = _instances(path, content)
    if instances is None:
        return None
    people = [_whole_body_person(path, instance) for instance in instances]
    return _surest(path, people, _stated_size(path, content))


def _openpose_person(path: Path, person: Any) -> Float[np.ndarray, "2 21 3"]:
    if not isinstance(person, dict):
        raise HandsError(f"{path}: expected an object for each of the people, found {type(person).__name__}: {REMEDY}")
    return np.stack([_points(path, key, person.get(key) or [0] * 63, 21) for key in OPENPOSE_HANDS])


def _instances(path: Path, content: Any) -> Sequence[Any] | None:
    """The people of the picture in whatever list they stand; None where there is no such list."""
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        return content if all("keypoints" in item for item in content) else None
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("instance_info"), list):
        frames = content["instance_info"]
        if len(frames) > 1 and all(isinstance(frame, dict) and "instances" in frame for frame in frames):
            raise HandsError(f"{path}: expected the landmarks of one picture, found {len(frames)}: {REMEDY}")
        return _instances(path, frames[0]) if frames and "instances" in frames[0] else frames
    if isinstance(content.get("instances"), list):
        return content["instances"]
    if isinstance(content.get("annotations"), list):
        image = _coco_image(path, content)
        return [item for item in content["annotations"] if image is None or item.get("image_id") == image.get("id")]
    return None


def _coco_image(path: Path, content: dict[str, Any]) -> dict[str, Any] | None:
    """The entry of COCO's `images` that this file is about."""
    images = [image for image in content.get("images") or [] if isinstance(image, dict)]
    if len(images) <= 1:
        return images[0] if images else None
    named = [image for image in images if Path(str(image.get("file_name"))).stem == path.stem]
    if len(named) != 1:
        raise HandsError(f"{path}: expected the landmarks of one picture, found {len(images)}: {REMEDY}")
    return named[0]


def _stated_size(path: Path, content: Any) -> tuple[int, int] | None:
    image = _coco_image(path, content) if isinstance(content, dict) else None
    width, height = (image.get("width"), image.get("height")) if image else (None, None)
    return (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else None


def _whole_body_person(path: Path, instance: Any) -> Float[np.ndarray, "2 21 3"]:
    if not isinstance(instance, dict):
        raise HandsError(f"{path}: expected an object a person, found {type(instance).__name__}: {REMEDY}")
    if any(key in instance for key in COCO_HANDS):
        return np.stack([_points(path, key, instance.get(key) or [0] * 63, 21) for key in COCO_HANDS])
    points = _points(path, "keypoints", instance.get("keypoints"), WHOLE_BODY, instance.get("keypoint_scores"))
    return np.stack([points[LEFT_HAND], points[RIGHT_HAND]])


def _points(path: Path, key: str, values: Any, count: int, scores: Any = None) -> Float[np.ndarray, "N 3"]:
    """Points with their confidence: three numbers each in one list, or pairs with a list of scores beside them."""
    try:
        numbers = np.array(values, dtype=np.float64)
        if scores is not None:
            numbers = np.concatenate([numbers.reshape(-1, 2), np.array(scores, dtype=np.float64)[:, None]], axis=1)
        points = numbers.reshape(-1, 3)
    except (TypeError, ValueError, IndexError) as error:
        raise HandsError(f"{path}: expected {count} points under {key}, found '{error}': {REMEDY}") from error
    if len(points) != count or not np.isfinite(points).all():
        found = f"{len(points)}" if np.isfinite(points).all() else "NaN or infinity"
        raise HandsError(
            f"{path}: expected {count} points under {key}, found {found}: use a model of whole bodies (133 points), "
            "whose hands it knows, or `ns-hands detect`."
        )
    return points


def _surest(path: Path, people: Sequence[Float[np.ndarray, "2 21 3"]], size: tuple[int, int] | None) -> ForeignHands:
    with_hands = [person for person in people if (person[..., 2] > 0).any()]
    if not with_hands:
        return ForeignHands(np.full((2, 21, 2), np.nan), np.full(2, np.nan), size, ())
    problems = ()
    if len(with_hands) > 1:
        problems = (
            f"{path}: shows the hands of {len(with_hands)} people; those of the person whose hands are surest were "
            "taken.",
        )
    person = max(with_hands, key=lambda person: person[..., 2].clip(0, 1).sum())
    confidence = person[..., 2].clip(0, 1)
    present = confidence > 0
    pixels = np.where(present[..., None], person[..., :2] + PIXEL_CENTER, np.nan)
    score = confidence.sum(-1) / np.maximum(present.sum(-1), 1)
    return ForeignHands(pixels, np.where(present.any(-1), score, np.nan), size, problems)
