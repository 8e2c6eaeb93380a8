"""Where in pictures of one's own hands are looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import radians, tan
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.estimators.hand_detector import HandDetector
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.preparation.detect import detect_landmarks
from nerfstudio_hands.preparation.sources import Source, SourceImage
from nerfstudio_hands.program.progress import show_progress
from nerfstudio_hands.transforms.projection import ndc_projection

FIELD_OF_VIEW = 60.0
"""Degrees over the longer side of a picture whose K is not known: a phone's main camera."""


@dataclass(frozen=True)
class FoundHands:
    """A picture and the hands in it.

    Attributes:
        picture: Of the source.
        intrinsics: Its K.
        boxes: Left, top, right and bottom of the joints by side, pixels.
        landmarks: What the detector found, likewise; nothing where none looked.
    """

    picture: SourceImage
    intrinsics: Float[np.ndarray, "3 3"]
    boxes: dict[str, Float[np.ndarray, " 4"]]
    landmarks: dict[str, Float[np.ndarray, "21 2"]]

    def camera(self) -> dict[str, list[list[float]]]:
        """K of the picture for its row of hands.json, as 3x3 and as 4x4 matrix."""
        height, width = self.picture.image.shape[:2]
        ndc = ndc_projection(self.intrinsics, width, height)
        return {"intrinsics": self.intrinsics.tolist(), "ndc_projection": ndc.tolist()}


@dataclass(frozen=True)
class HandFinder:
    """Looks for hands.

    Attributes:
        detector: None takes each picture for the crop of one hand.
        side: `auto` takes all that the detector finds, `left` or `right` that hand alone.
        intrinsics: fx fy cx cy, pixels; None takes `FIELD_OF_VIEW`.
    """

    detector: HandDetector | None
    side: str = "auto"
    intrinsics: tuple[float, float, float, float] | None = None

    def hands(self, source: Source, folder: Path) -> Iterator[FoundHands]:
        """All pictures, those without a hand among them.

        Args:
            source: Pictures.
            folder: Where detections are kept, so that an interrupted search goes on.
        """
        found = None if self.detector is None else detect_landmarks(source, folder, self.detector)
        with show_progress("Predicting hands") as report:
            for index, picture in enumerate(source.pictures()):
                report(index)
                height, width = picture.image.shape[:2]
                landmarks = {}
                if found is not None:
                    landmarks = {
                        side: pixels
                        for side, pixels in zip(SIDES, found.sides.pixels[index, 0], strict=True)
                        if np.isfinite(pixels).all() and self.side in ("auto", side)
                    }
                boxes = {side: np.concatenate([pixels.min(0), pixels.max(0)]) for side, pixels in landmarks.items()}
                if found is None:
                    boxes = {self.side: np.array([0.0, 0.0, width, height])}
                yield FoundHands(picture, self._matrix(width, height), boxes, landmarks)

    def _matrix(self, width: int, height: int) -> Float[np.ndarray, "3 3"]:
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
        else:
            fx = fy = max(width, height) / 2 / tan(radians(FIELD_OF_VIEW / 2))
            cx, cy = width / 2, height / 2
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
