"""Pictures one by one with the hands that a network says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfstudio_hands.estimators.monocular.predictor import HandPredictor, PredictedHand
from nerfstudio_hands.export.hand_finder import FoundHands, HandFinder
from nerfstudio_hands.export.predicted_hands import TexturePlan, overlay, parameters, predicted_mesh, seen_hand
from nerfstudio_hands.export.refined_hands import laid_on_images, registered_to_image
from nerfstudio_hands.export.seen_surface import turntable
from nerfstudio_hands.export.tally import Tally
from nerfstudio_hands.export.textured_mesh import glb_bytes, ply_bytes
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.hand_model.model import HandModel
from nerfstudio_hands.hand_model.nimble import NimbleHand
from nerfstudio_hands.preparation.sources import Source

DETECTOR_ERROR = 0.025
"""Of the detector's landmarks, parts of the hand's size in the picture."""


@dataclass(frozen=True)
class PredictedImage:
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
    model: HandModel | NimbleHand
    plan: TexturePlan

    def meshes(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """Names and contents of a file a hand, of the kind ply or glb; none of any other."""
        for hand in self.hands if kind in ("ply", "glb") else ():
            mesh, name = predicted_mesh(hand, self.model, self.plan), f"{self.name}_{hand.side}"
            yield f"{name}.{kind}", ply_bytes(mesh) if kind == "ply" else glb_bytes(mesh, name)

    def turntable(self) -> bytes:
        """The hands from all around, an animated WebP."""
        return turntable([seen_hand(hand, self.model) for hand in self.hands])


@dataclass
class _Seen:
    """A picture that was looked at."""

    name: str
    seconds: float
    intrinsics: Float[np.ndarray, "3 3"]
    camera: dict[str, list[list[float]]]
    """The same as hands.json has it."""
    hands: dict[str, PredictedHand]
    """By side."""


class PredictionRun:
    """Predicts hands of a source's pictures and keeps account of them.

    Args:
        predictor: Says hands.
        finder: Finds them.
        refine: Lay hands on what heat maps and detector see; those of a video get one shape and move smoothly.
        register: Move them onto the outline that each picture shows.
    """

    def __init__(
        self, predictor: HandPredictor, finder: HandFinder, *, refine: bool = True, register: bool = False
    ) -> None:
        self.predictor, self.finder = predictor, finder
        self.refine, self.register, self.tally = refine, register, Tally()
        self._seen: list[_Seen] = []
        self._plan = TexturePlan.of(predictor.decoder.hand)

    def pictures(self, source: Source, folder: Path) -> Iterator[PredictedImage]:
        """The pictures in which a hand is seen.

        Args:
            source: Pictures.
            folder: Where detections are kept, so that an interrupted search goes on.
        """
        self._seen += [self._look(found) for found in self.finder.hands(source, folder)]
        if self.refine:
            self._lay_on_images(is_video=source.is_video)
        model = self.predictor.decoder.hand
        for picture, one in zip(source.pictures(), self._seen, strict=True):
            if one.hands and self.register:
                one.hands = registered_to_image(self.predictor, one.hands, picture.image, one.intrinsics)
            hands = list(one.hands.values())
            if hands:
                drawn = overlay(picture.image, one.intrinsics, hands, model)
                yield PredictedImage(picture.name, hands, drawn, model, self._plan)

    def _look(self, found: FoundHands) -> _Seen:
        picture, matrix = found.picture, found.intrinsics
        start = monotonic()
        asked = ((picture.image, matrix, side, box) for side, box in found.boxes.items())
        hands = dict(zip(found.boxes, self.predictor.predict(asked), strict=True))
        self.tally.add(len(hands), monotonic() - start)
        for side, pixels in found.landmarks.items():
            hands[side] = _as_detected(hands[side], pixels)
        return _Seen(picture.name, picture.seconds, matrix, found.camera(), hands)

    def _lay_on_images(self, *, is_video: bool) -> None:
        for side in SIDES:
            with_side = [one for one in self._seen if side in one.hands]
            if not with_side:
                continue
            better = laid_on_images(
                self.predictor,
                [one.hands[side] for one in with_side],
                [one.intrinsics for one in with_side],
                [one.seconds for one in with_side] if is_video else None,
            )
            for one, hand in zip(with_side, better, strict=True):
                one.hands[side] = hand

    def account(self) -> str:
        """All that was found, as JSON."""
        model = self.predictor.decoder.hand
        pictures = {
            one.name: {
                **one.camera,
                "hands": [parameters(hand, model.name) for hand in one.hands.values()],
            }
            for one in self._seen
        }
        return json.dumps({"frame": "OpenCV camera axes, meters", "pictures": pictures}, indent=1)


def _as_detected(hand: PredictedHand, landmarks: Float[np.ndarray, "21 2"]) -> PredictedHand:
    """The hand with the joints of the detector where the network is less sure of its own."""
    error = DETECTOR_ERROR * float(np.ptp(landmarks, axis=0).max())
    unsure = hand.error > error
    return replace(
        hand,
        pixels=np.where(unsure[:, None], landmarks, hand.pixels),
        error=np.where(unsure, error, hand.error),
    )


def overview(overlays: list[UInt8[np.ndarray, "H W 3"]], height: int = 200) -> UInt8[np.ndarray, "H W 3"]:
    """Overlays of any size below each other, in as many columns as make it about square; at least one."""
    rows = [cv2.resize(tile, (max(1, round(tile.shape[1] * height / tile.shape[0])), height)) for tile in overlays]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 4), (0, width - row.shape[1] + 4), (0, 0)), constant_values=255) for row in rows]
    columns = max(1, min(len(rows), round((len(rows) * height / width) ** 0.5)))
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % columns)
    return np.vstack([np.hstack(rows[start : start + columns]) for start in range(0, len(rows), columns)])
