"""Pictures one by one with the hands that a network says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import radians, tan
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.estimators.hand_detector import HandDetector
from nerfstudio_hands.estimators.monocular.predictor import HandPredictor, PredictedHand
from nerfstudio_hands.export.predicted_hands import TexturePlan, overlay, parameters, predicted_mesh
from nerfstudio_hands.export.textured_mesh import glb_bytes, ply_bytes
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.preparation.detect import FoundLandmarks, detect_landmarks
from nerfstudio_hands.preparation.sources import Source

FIELD_OF_VIEW = 60.0
"""Degrees over the longer side of a picture whose K is not known: a phone's main camera."""


@dataclass(frozen=True)
class PredictedPicture:
    """A picture's hands.

    Attributes:
        name: Of the picture.
        hands: Predicted.
        overlay: What was found, drawn.
        model: The right hand that they were predicted of.
        plan: Of its texture.
    """

    name: str
    hands: list[PredictedHand]
    overlay: UInt8[np.ndarray, "H W 3"]
    model: HandModel
    plan: TexturePlan

    def meshes(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """Names and contents of a file a hand, of the kind ply or glb; none of any other."""
        for hand in self.hands if kind in ("ply", "glb") else ():
            mesh, name = predicted_mesh(hand, self.model, self.plan), f"{self.name}_{hand.side}"
            yield f"{name}.{kind}", ply_bytes(mesh) if kind == "ply" else glb_bytes(mesh, name)


class PredictionRun:
    """Predicts hands of a source's pictures and keeps account of them.

    Args:
        predictor: Says hands.
        detector: Finds them; None takes each picture for the crop of one hand.
        side: `auto` takes all that the detector finds, `left` or `right` that hand alone.
        intrinsics: fx fy cx cy, pixels; None takes `FIELD_OF_VIEW`.
    """

    def __init__(
        self,
        predictor: HandPredictor,
        detector: HandDetector | None,
        *,
        side: str = "auto",
        intrinsics: tuple[float, float, float, float] | None = None,
    ) -> None:
        self.predictor, self.detector, self.side, self.intrinsics = predictor, detector, side, intrinsics
        self.seen = self.count = self.with_hands = 0
        self._seconds, self._account = 0.0, {}
        self._plan = TexturePlan.of(predictor.decoder.hand)

    @property
    def seconds_a_hand(self) -> float:
        """What the network took, seconds; detector, files and drawing are not in it."""
        return self._seconds / max(1, self.count)

    def pictures(self, source: Source, folder: Path) -> Iterator[PredictedPicture]:
        """The pictures in which a hand is seen.

        Args:
            source: Pictures.
            folder: Where detections are kept, so that an interrupted search goes on.
        """
        found = None if self.detector is None else detect_landmarks(source, folder, self.detector)
        for index, picture in enumerate(source.pictures()):
            self.seen += 1
            height, width = picture.image.shape[:2]
            matrix = self._matrix(width, height)
            boxes = {self.side: np.array([0.0, 0.0, width, height])} if found is None else self._boxes(found, index)
            start = monotonic()
            asked = ((picture.image, matrix, side, box) for side, box in boxes.items())
            hands = list(self.predictor.predict(asked))
            self._seconds += monotonic() - start
            self.count, self.with_hands = self.count + len(hands), self.with_hands + bool(hands)
            model = self.predictor.decoder.hand
            self._account[picture.name] = {
                "intrinsics": matrix.tolist(),
                "hands": [parameters(hand, model.name) for hand in hands],
            }
            if hands:
                drawn = overlay(picture.image, matrix, hands, model)
                yield PredictedPicture(picture.name, hands, drawn, model, self._plan)

    def account(self) -> str:
        """All that was found, as JSON."""
        return json.dumps({"frame": "OpenCV camera axes, meters", "pictures": self._account}, indent=1)

    def _boxes(self, found: FoundLandmarks, index: int) -> dict[str, Float[np.ndarray, " 4"]]:
        boxes = {}
        for side, pixels in zip(SIDES, found.sides.pixels[index, 0], strict=True):
            if np.isfinite(pixels).all() and self.side in ("auto", side):
                boxes[side] = np.concatenate([pixels.min(0), pixels.max(0)])
        return boxes

    def _matrix(self, width: int, height: int) -> Float[np.ndarray, "3 3"]:
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
        else:
            fx = fy = max(width, height) / 2 / tan(radians(FIELD_OF_VIEW / 2))
            cx, cy = width / 2, height / 2
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def overview(overlays: list[UInt8[np.ndarray, "H W 3"]], height: int = 200) -> UInt8[np.ndarray, "H W 3"]:
    """Overlays of any size below each other, in as many columns as make it about square; at least one."""
    rows = [cv2.resize(tile, (max(1, round(tile.shape[1] * height / tile.shape[0])), height)) for tile in overlays]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 4), (0, width - row.shape[1] + 4), (0, 0)), constant_values=255) for row in rows]
    columns = max(1, min(len(rows), round((len(rows) * height / width) ** 0.5)))
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % columns)
    return np.vstack([np.hstack(rows[start : start + columns]) for start in range(0, len(rows), columns)])
