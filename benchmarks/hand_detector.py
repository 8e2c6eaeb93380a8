"""How near does the detector of hands come to what MediaPipe itself found in the same pictures?

On a clip with reference landmarks: median distance to them, and in how many pictures a hand was found; on a capture
room without its `pose/`: which hands are found in each camera, and how far they are from the detections that came with
it. References count the middle of the first pixel as 0, or sample a crop by its corners; the median difference in x and
y shows which.

    python benchmarks/hand_detector.py --clip ../shared/captures/signing-hand --room ../shared/captures/fmhr-demo/1
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from recording import Recorded, record
from rich.table import Table

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.captures.layouts import read_capture
from nerfstudio_hands.estimators.hand_detector import HandDetector
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.files.video_reading import read_video
from nerfstudio_hands.preparation.sides import SidedHands, decide_sides


@dataclass
class Detection(Recorded):
    """A clip and a capture room, with what others found in them."""

    clip: Path = Path("../shared/captures/signing-hand")
    """Folder with one .mp4 of one right hand and its landmarks `*.full.json`, pixels."""
    room: Path = Path("../shared/captures/fmhr-demo/1")
    """A scan of a capture room with its `pose/`."""


def clip_table(folder: Path) -> Table:
    """Distances to the reference landmarks of a clip, pixels."""
    (video,) = folder.glob("*.mp4")
    (landmarks,) = (path for path in folder.glob("*.full.json") if "_3d" not in path.name)
    reference = np.array(json.loads(landmarks.read_text()))[..., :2]
    pictures = (picture.image for picture in read_video(video))
    hands = list(HandDetector(max_hands=1).detect_video(pictures))
    right = decide_sides([[found] for found in hands], [video.stem]).pixels[:, 0, 1]
    differences = right - reference
    distances = np.linalg.norm(differences, axis=-1)
    table = Table("pictures", "right hand found", "median px", "90 % px", "median x", "median y", title=folder.name)
    found = np.isfinite(distances).all(-1).sum()
    figures = (np.nanmedian(distances), np.nanpercentile(distances, 90), *np.nanmedian(differences, axis=(0, 1)))
    table.add_row(str(len(right)), str(found), *(f"{figure:.2f}" for figure in figures))
    return table


def room_table(capture: Capture, found: SidedHands) -> Table:
    """Hands of each camera beside the detections that came with the capture, pixels."""
    table = Table("camera", "given", "found", "left px", "right px", title="capture room")
    for index, camera in enumerate(capture.cameras):
        given, ours = capture.detections[0, index], found.pixels[0, index]
        if not np.isfinite(np.stack([given, ours])).any():
            continue
        distances = np.median(np.linalg.norm(ours - given, axis=-1), axis=-1)
        table.add_row(camera.name, _sides(given), _sides(ours), *(f"{d:.1f}" for d in distances))
    return table


def _sides(hands: np.ndarray) -> str:
    return " ".join(name for name, hand in zip(("left", "right"), hands, strict=True) if np.isfinite(hand).all())


def main(args: Detection) -> None:
    """Prints and records both tables."""
    capture = read_capture(args.room)
    detector = HandDetector()
    keys = [(capture.frames[0], camera.name) for camera in capture.cameras]
    hands = [detector.detect(read_image(capture.images[key])) if key in capture.images else [] for key in keys]
    found = decide_sides([hands], capture.camera_names, capture.cameras)
    record("hand_detector", args, [clip_table(args.clip), room_table(capture, found)], notes=found.problems)


if __name__ == "__main__":
    main(tyro.cli(Detection))
