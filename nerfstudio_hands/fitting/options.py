"""What a fit is told beside the capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting.joints.pose_start import PoseStart
from nerfstudio_hands.hand_model import SIDES


@dataclass(frozen=True)
class FitOptions:
    """How the hands of a capture are fitted; all of it counts in the key under which the fit is kept.

    A capture that comes with 3D joints is fitted to these: cameras and pictures then take no part.

    Attributes:
        cameras: Names of the cameras that take part; of the others nothing is looked at but, for the report, the masks.
            By default all that have pictures.
        hand: Hand model, "default" or a path.
        sides: The hands to fit; of two, one that was never detected is left out.
        refine_masks: Whether to refine on the outlines of good masks.
        refine_cameras: Whether cameras may be turned (about their centres, about a degree).
        shape_frames: Frames that what all frames share (shape, displacement, cameras, places of landmarks, which hands
            there are) may be learnt from; by default all.
        start: Where hands begin again whose fit to 3D joints leaves one far away; by default they stay as they are.
    """

    cameras: Sequence[str] | None = None
    hand: str | Path = "default"
    sides: Sequence[str] = SIDES
    refine_masks: bool = True
    refine_cameras: bool = True
    shape_frames: Sequence[int] | None = None
    start: PoseStart | None = None

    def cameras_of(self, capture: Capture) -> list[str]:
        """Names of the cameras of a capture that take part."""
        return capture.cameras_with_images if self.cameras is None else list(self.cameras)
