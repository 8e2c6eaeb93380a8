"""A layout of one's own: a reader that returns a `Capture`, and its line in the table of layouts.

The layout of this example is one file beside the pictures, `rig.json`:

    {"cameras": {"left": {"K": 3x3, "world_to_camera": 4x4, "size": [width, height]}, ..},
     "frames": [{"joints": {"right": [[x, y, z] x 21]}, "pictures": {"left": "a/left.png", ..}}, ..]}

Lengths are metres, axes of cameras are OpenCV's (x right, y down, z forward), joints go from the wrist along thumb,
index, middle, ring and pinky. Reads such a folder, fits the hands and says how well:

    python examples/05_custom_format.py --data RIG
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tyro

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.layouts import LAYOUTS, Layout, read_capture
from nerfstudio_hands.dataparsers.network_start import NetworkStart
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json
from nerfstudio_hands.fitting import FitOptions, fit_or_load
from nerfstudio_hands.hand_model import SIDES

FILE = "rig.json"


def is_rig(root: Path) -> bool:
    return (root / FILE).is_file()


def read_rig(root: Path) -> Capture:
    """Reads the layout.

    Raises:
        HandsError: The file is no such description.
    """
    try:
        rig = read_json(root / FILE)
        cameras = [
            CaptureCamera(
                name=name,
                # Ours has the centre of the upper left pixel at (0.5, 0.5).
                intrinsics=np.array(camera["K"], float) + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]),
                world_to_camera=np.array(camera["world_to_camera"], float),
                width=int(camera["size"][0]),
                height=int(camera["size"][1]),
            )
            for name, camera in rig["cameras"].items()
        ]
        joints = np.full((len(rig["frames"]), 2, 21, 3), np.nan)
        for frame, entry in enumerate(rig["frames"]):
            for side, points in entry["joints"].items():
                joints[frame, SIDES.index(side)] = points
        images = {
            (str(frame), camera): root / file
            for frame, entry in enumerate(rig["frames"])
            for camera, file in entry["pictures"].items()
        }
    except (UnreadableFile, KeyError, TypeError, ValueError, IndexError) as error:
        raise HandsError(
            f"{root / FILE}: expected cameras and frames as in examples/05_custom_format.py, found something else "
            f"({type(error).__name__}: {error}); correct the file."
        ) from error
    missing = sorted(str(path) for path in images.values() if not path.is_file())
    return Capture(
        root=root,
        cameras=cameras,
        frames=[str(frame) for frame in range(len(joints))],
        images={key: path for key, path in images.items() if path.is_file()},
        masks={},
        detections=None,
        problems=[f"{len(missing)} pictures are missing: {', '.join(missing[:3])}"] if missing else [],
        stored_keypoints=joints,
    )


# From here on training, `ns-hands check` and exports know it.
LAYOUTS["rig"] = Layout(is_rig, read_rig, FILE)


def main(data: Path) -> None:
    """Reads a rig and fits its hands."""
    capture = read_capture(data)
    fit = fit_or_load(capture, FitOptions(start=NetworkStart()))
    print(f"{len(capture.cameras)} cameras, {len(capture.frames)} frames, hands: {', '.join(fit.sides)}")
    print(json.dumps(fit.report, indent=1, default=str))


if __name__ == "__main__":
    tyro.cli(main)
