"""What `ns-hands prepare` is told. Imports nothing heavy, because the help of the command is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional, Tuple

from nerfstudio_hands.program.option_range import bounded


@dataclass(frozen=True)
class PrepareOptions:
    """Pictures, and what is known of them."""

    videos: Tuple[Path, ...] = ()
    """Films that ran at the same time, one a camera; or one, of a camera that stands still."""
    images: Tuple[Path, ...] = ()
    """Folders of pictures, one a camera, whose pictures are frames in the order of their names; or one folder with a
    picture of each camera of the calibration."""
    calibration: Optional[Path] = None
    """Cameras: transforms.json, COLMAP, calibration.toml, EasyMocap, OpenCV or param.npz, in any unit. One camera that
    stands still needs none."""
    masks: Optional[Path] = None
    """Folder of masks (white where hands are) that are named as the pictures."""
    fov: bounded(Optional[float], 5, 170) = None
    """Angle of view along the longer side in degrees, for a camera without a calibration."""
    hand_length: bounded(float, 60, 300) = 185.0
    """Millimetres that a ruler says from the crease of the wrist to the tip of the middle finger: how large all is,
    where the calibration has no known unit."""
    max_frames: bounded(int, 1, 100_000) = 300
    """Most frames of films; of more, all are looked at and the sharp ones taken, evenly."""
    offset: bounded(Optional[Tuple[float, ...]], -3600, 3600) = None
    """Seconds by which the clock of each video but the first is behind that one's; by default they are found from when
    the hand moves."""
    fix: bool = False
    """Read a calibration that landmarks contradict as they say: camera to world, OpenGL axes, another picture size."""
    forms: Literal["both", "detector"] = "both"
    """Of a single camera, what is known of the hand's form in depth: the mean of what the detector and the network of
    hand-monocular say of each picture, or the detector's alone."""
    detector_weights: Optional[Path] = None
    """Folder with the detector's two files instead of those of `ns-hands fetch-weights`."""
