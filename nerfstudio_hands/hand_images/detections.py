"""What a detector said of a data set's pictures, for training without true labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json
from nerfstudio_hands.hand_images.hand_image import HandImage, HandImages, HandLabels


@dataclass(frozen=True)
class Detections:
    """Joints of N pictures in the order of their source.

    Attributes:
        pixels: In the order of ``joints.JOINT_NAMES``; the center of the upper left pixel is (0.5, 0.5).
        confidence: 0 where a joint was not found.
    """

    pixels: Float32[np.ndarray, "N 21 2"]
    confidence: Float32[np.ndarray, "N 21"]


def read_detections(path: Path) -> Detections:
    """Reads S2HAND's file: a JSON list of pixels `[N][21][2]` and of confidences `[N][21]` or `[N][21][1]`.

    Raises:
        HandsError: It is no such file.
    """
    expected = f"{path}: expected detections, a JSON list of pixels [N][21][2] and of confidences [N][21]; found"
    try:
        pixels, confidence = (np.array(part, np.float32) for part in read_json(path))
    except UnreadableFile as error:
        raise HandsError(f"{expected} '{error}': check --pipeline.datamanager.detections.") from error
    except (ValueError, TypeError) as error:
        raise HandsError(f"{expected} something else ({str(error)[:100]}): give a file of that form.") from error
    confidence = confidence.reshape(len(confidence), -1)
    if pixels.shape[1:] != (21, 2) or confidence.shape != pixels.shape[:2]:
        raise HandsError(f"{expected} {list(pixels.shape)} and {list(confidence.shape)}: give a file of that form.")
    return Detections(pixels, confidence.clip(0, 1))


class DetectedHandImages:
    """A source whose joints are those of a detector, and nothing else is known: what self-supervision sees.

    Args:
        source: Of pictures.
        detections: Of its pictures.

    Raises:
        HandsError: There are more or fewer detections than pictures.
    """

    def __init__(self, source: HandImages, detections: Detections) -> None:
        if len(detections.pixels) != len(source):
            raise HandsError(
                f"--pipeline.datamanager.detections: expected those of the {len(source):,} pictures of {source.name}, "
                f"found {len(detections.pixels):,}: give the file that was made of them."
            )
        self.source, self.detections = source, detections
        self.name, self.hand_model = f"{source.name}, as detected", source.hand_model

    def __len__(self) -> int:
        return len(self.source)

    def labels(self, index: int) -> HandLabels:
        return self._seen(self.source.labels(index), index)

    def read(self, index: int) -> HandImage:
        picture = self.source.read(index)
        return HandImage(picture.rgb, self._seen(picture.labels, index))

    def _seen(self, labels: HandLabels, index: int) -> HandLabels:
        pixels, confidence = self.detections.pixels[index], self.detections.confidence[index]
        found = np.where(confidence[:, None] > 0, pixels, np.nan).astype(np.float32)
        return HandLabels(
            labels.side, labels.intrinsics, pixels=found, confidence=confidence, box=labels.box, bone_length=None
        )
