"""What a fit is told beside the capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nerfstudio_hands.captures.capture import Capture, select_cameras
from nerfstudio_hands.fitting.joints.pose_start import PoseStart
from nerfstudio_hands.hand_model import SIDES


@dataclass(frozen=True)
class FitOptions:
    """How the hands of a capture are fitted; all of it counts in the key under which the fit is kept.

    Attributes:
        cameras: Names of the cameras that take part; of the others nothing is looked at but, for the report, the masks.
            By default all that have pictures.
        hand: Hand model, "default" or a path.
        sides: The hands to fit; of two, one that was never detected is left out.
        refine_masks: Whether to register the hands to the pictures: to the outlines of good masks, and where there are
            none to those that are cut out of the pictures.
        register_held_out: Whether poses of frames that nothing is learnt from are registered to pictures, too, or come
            from joints alone.
        refine_cameras: Whether cameras may be turned (about their centres, about a degree).
        shape_frames: Frames that what all frames share (shape, displacement, cameras, places of landmarks, which hands
            there are) may be learnt from; by default all.
        start: Where hands begin again whose fit to 3D joints leaves one far away; by default they stay as they are.
    """

    cameras: Sequence[str] | None = None
    hand: str | Path = "default"
    sides: Sequence[str] = SIDES
    refine_masks: bool = True
    register_held_out: bool = True
    refine_cameras: bool = True
    shape_frames: Sequence[int] | None = None
    start: PoseStart | None = None

    def learning_frames(self, capture: Capture) -> list[int]:
        """Indices, ascending, of the frames of a capture that may be learnt from."""
        return sorted(range(len(capture.frames)) if self.shape_frames is None else self.shape_frames)

    def cameras_of(self, capture: Capture) -> list[str]:
        """Names of the cameras of a capture that take part."""
        return capture.cameras_with_images if self.cameras is None else list(self.cameras)

    def images_of(self, capture: Capture) -> Capture:
        """What the cameras that take part saw of a capture; it may be nothing where its joints are known."""
        names = self.cameras_of(capture)
        if capture.detections is None and not any(name in names for _, name in capture.images):
            return replace(capture, cameras=[], images={}, masks={}, object_masks={})
        return select_cameras(capture, names)
