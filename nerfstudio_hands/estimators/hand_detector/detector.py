"""Hands in pictures and videos: palms, landmarks in turned crops, and tracking from picture to picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.estimators.hand_detector.crop import Crop, crop_of_landmarks, crop_of_palm, cut
from nerfstudio_hands.estimators.hand_detector.palm_detection import detect_palms
from nerfstudio_hands.estimators.hand_detector.tflite_network import TfliteNetwork
from nerfstudio_hands.estimators.hand_detector.weights import LANDMARK_FILE, PALM_FILE, checked_weights

SIZE = 224
"""Pixels a side of the landmark network's picture."""

MIN_PRESENCE = 0.5
"""Probability of a hand in the crop from which on its landmarks count; MediaPipe's own."""

SAME_HAND = 0.35
"""Two hands whose landmarks differ in the mean by less than this part of their size are one, found twice."""


@dataclass(frozen=True)
class DetectedHand:
    """A hand in a picture; 21 landmarks in MediaPipe order.

    Attributes:
        pixels: The centre of the upper left pixel is (0.5, 0.5).
        depth: Pixels behind the wrist, as if the camera were far away.
        score: Probability that there is a hand.
        right: Probability that it is an anatomical right hand, of a picture that is not mirrored.
        metric: Metres about the hand's own centre, camera axes (x right, y down, z forward).
    """

    pixels: Float[np.ndarray, "21 2"]
    depth: Float[np.ndarray, " 21"]
    score: float
    right: float
    metric: Float[np.ndarray, "21 3"]


class HandDetector:
    """Finds hands with MediaPipe's networks.

    Args:
        weights: Folder with the two networks; by default where `ns-hands fetch-weights` puts them.
        max_hands: Hands that a picture may show; more are left out, the least sure first.
        threads: Threads that a network may use.

    Raises:
        HandsError: The networks are not there or have been altered.
    """

    def __init__(self, weights: Path | None = None, *, max_hands: int = 2, threads: int = 1):
        files = checked_weights(weights)
        self._palms = TfliteNetwork(files[PALM_FILE], threads=threads)
        self._landmarks = TfliteNetwork(files[LANDMARK_FILE], threads=threads)
        self.max_hands = max_hands

    def detect(self, image: UInt8[np.ndarray, "H W 3"]) -> list[DetectedHand]:
        """Hands in one RGB picture, the surest first."""
        return self._found(image, [])

    def detect_video(
        self, images: Iterable[UInt8[np.ndarray, "H W 3"]], before: Sequence[DetectedHand] = ()
    ) -> Iterator[list[DetectedHand]]:
        """Hands in each of the RGB pictures of a video, as these come.

        A hand is looked for where it was in the picture before; palms are looked for where that leaves fewer hands than
        there may be.

        Args:
            images: The pictures.
            before: Hands in the picture before the first of these.
        """
        hands = list(before)
        for image in images:
            hands = self._found(image, hands)
            yield hands

    def _found(self, image: UInt8[np.ndarray, "H W 3"], before: list[DetectedHand]) -> list[DetectedHand]:
        crops = [crop_of_landmarks(hand.pixels) for hand in before]
        hands = distinct_hands([hand for crop in crops if (hand := self._look(image, crop)) is not None])
        if len(hands) < self.max_hands:
            palms = detect_palms(self._palms, image)
            crops = [crop_of_palm(palm.box, palm.keypoints[0], palm.keypoints[2]) for palm in palms]
            found = [self._look_twice(image, crop) for crop in crops]
            hands = distinct_hands(hands + [hand for hand in found if hand is not None])
        return hands[: self.max_hands]

    def _look_twice(self, image: UInt8[np.ndarray, "H W 3"], crop: Crop) -> DetectedHand | None:
        """A palm says roughly where the hand is; its landmarks say it well, as in tracking."""
        first = self._look(image, crop)
        return None if first is None else self._look(image, crop_of_landmarks(first.pixels))

    def _look(self, image: UInt8[np.ndarray, "H W 3"], crop: Crop) -> DetectedHand | None:
        """The hand in a crop, if it shows one."""
        outputs = self._landmarks(cut(image, crop, SIZE))
        score = float(outputs["Identity_1"][0])
        if score < MIN_PRESENCE:
            return None
        landmarks = outputs["Identity"].reshape(21, 3) / SIZE
        metric = outputs["Identity_3"].reshape(21, 3).astype(float)
        metric[:, :2] = metric[:, :2] @ crop.axes.T
        return DetectedHand(
            pixels=crop.onto_image(landmarks[:, :2].astype(float)),
            depth=landmarks[:, 2].astype(float) * crop.size,
            score=score,
            right=float(outputs["Identity_2"][0]),
            metric=metric,
        )


def distinct_hands(hands: list[DetectedHand]) -> list[DetectedHand]:
    """The hands without those that were found twice, the surest first."""
    kept: list[DetectedHand] = []
    for hand in sorted(hands, key=lambda hand: -hand.score):
        if not any(_same(hand, other) for other in kept):
            kept.append(hand)
    return kept


def _same(first: DetectedHand, second: DetectedHand) -> bool:
    size = max(np.ptp(hand.pixels, axis=0).max() for hand in (first, second))
    distance = np.linalg.norm(first.pixels - second.pixels, axis=-1).mean()
    return bool(distance < SAME_HAND * size)
