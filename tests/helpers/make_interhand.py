"""Writes a tiny InterHand2.6M tree by hand, with known truth, for tests to read and to break."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nerfstudio_hands.captures.capture import Capture
from nerfstudio_hands.fitting import HandFit
from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, default_hand

WIDTH, HEIGHT = 34, 52
COLOUR = ("400002", "400004", "400412")
GREY = "410001"
FRAMES = {"ROM03_RT_No_Occlusion": (18, 36, 54, 72), "ROM04_RT_Occlusion": (90, 108)}
TYPES = {18: "right", 36: "right", 54: "interacting", 72: "right", 90: "left", 108: "interacting"}


@dataclass
class InterHandTruth:
    """What the tree was made from: joints [42, 3] in millimetres by frame, and calibration by camera."""

    joints: dict[int, np.ndarray]
    campos: dict[str, np.ndarray]
    camrot: dict[str, np.ndarray]
    focal: dict[str, np.ndarray]
    princpt: dict[str, np.ndarray]

    def pixels(self, camera: str, frame: int) -> np.ndarray:
        """The published projection: joints in pixels, the centre of the upper left pixel being (0, 0)."""
        in_camera = (self.joints[frame] - self.campos[camera]) @ self.camrot[camera].T
        return in_camera[:, :2] / in_camera[:, 2:] * self.focal[camera] + self.princpt[camera]


def make_interhand(root: Path, *, split: str = "test", transpose: tuple[str, ...] = ()) -> InterHandTruth:
    """Two sequences of Capture0 at 5 frames a second, three colour cameras and a grey one on an arc round the hands.

    Every picture is dark with a bright pixel at each joint.

    Args:
        root: Folder to make.
        split: Split to write; there is a Capture1 without frames beside it in the annotations.
        transpose: Cameras whose pictures are stored with x and y exchanged.
    """
    rng = np.random.default_rng(3)
    truth = InterHandTruth({}, {}, {}, {}, {})
    for index, camera in enumerate((*COLOUR, GREY)):
        angle = 0.4 * index
        rotation = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
        truth.camrot[camera] = rotation
        truth.campos[camera] = np.array([100.0, 200.0, 300.0]) - 1000 * rotation[2]
        truth.focal[camera] = np.array([90.0, 92.0])
        truth.princpt[camera] = np.array([WIDTH / 2 + 1, HEIGHT / 2 - 2])
    for frame in TYPES:
        joints = rng.normal(scale=20, size=(42, 3)) + np.array([100.0, 200.0, 300.0])
        joints[:21, 1] += 130  # The right hand is the lower one in the picture.
        joints[21:, 1] -= 100
        truth.joints[frame] = joints

    images, annotations = [], []
    for sequence, frames in FRAMES.items():
        for camera in (*COLOUR, GREY):
            folder = root / "images" / split / "Capture0" / sequence / f"cam{camera}"
            folder.mkdir(parents=True)
            for frame in frames:
                picture = np.full((HEIGHT, WIDTH, 3), 30, dtype=np.uint8)
                x, y = np.round(truth.pixels(camera, frame)).astype(int).T
                inside = (x >= 0) & (y >= 0) & (x < WIDTH) & (y < HEIGHT)
                picture[y[inside], x[inside]] = (230, 180, 150)
                if camera in transpose:
                    picture = picture.transpose(1, 0, 2)
                Image.fromarray(picture).save(folder / f"image{frame}.jpg", quality=95)
                images.append(
                    {
                        "id": len(images),
                        "file_name": f"Capture0/{sequence}/cam{camera}/image{frame}.jpg",
                        "width": picture.shape[1],
                        "height": picture.shape[0],
                        "capture": 0,
                        "subject": 5,
                        "seq_name": sequence,
                        "camera": camera,
                        "frame_idx": frame,
                    }
                )
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": images[-1]["id"],
                        "bbox": [0, 0, WIDTH, HEIGHT],
                        "joint_valid": [1] * 42,
                        "hand_type": TYPES[frame],
                        "hand_type_valid": 1,
                    }
                )
    calibration = {
        key: {camera: np.asarray(value).tolist() for camera, value in getattr(truth, key).items()}
        for key in ("campos", "camrot", "focal", "princpt")
    }
    joints = {str(f): {"world_coord": p.tolist(), "joint_valid": [[1]] * 42} for f, p in truth.joints.items()}
    mano = {
        str(f): {
            side: {"pose": [0.01 * f] * 48, "shape": [0.1] * 10, "trans": [0.1, 0.2, 0.3]}
            if TYPES[f] in (side, "interacting")
            else None
            for side in ("right", "left")
        }
        for f in TYPES
    }
    write_annotations(root, split, "data", {"images": images, "annotations": annotations})
    empty = {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}
    write_annotations(root, split, "camera", {"0": calibration, "1": empty})
    write_annotations(root, split, "joint_3d", {"0": joints, "1": {}})
    write_annotations(root, split, "MANO_NeuralAnnot", {"0": mano, "1": {}})
    return truth


def annotation_file(root: Path, name: str, split: str = "test") -> Path:
    """Path of an annotation file."""
    return root / "annotations" / split / f"InterHand2.6M_{split}_{name}.json"


def write_annotations(root: Path, split: str, name: str, content: dict) -> None:
    """Writes an annotation file."""
    annotation_file(root, name, split).parent.mkdir(parents=True, exist_ok=True)
    annotation_file(root, name, split).write_text(json.dumps(content))


def edit_joints(root: Path, frame: int, **changes) -> None:
    """Changes the entry of a frame in joint_3d; `entry=None` makes it null."""
    content = json.loads(annotation_file(root, "joint_3d").read_text())
    if "entry" in changes:
        content["0"][str(frame)] = changes["entry"]
    else:
        content["0"][str(frame)].update(changes)
    write_annotations(root, "test", "joint_3d", content)


def picture(root: Path, sequence: str, camera: str, frame: int) -> Path:
    """Path of a picture of test/Capture0."""
    return root / "images" / "test" / "Capture0" / sequence / f"cam{camera}" / f"image{frame}.jpg"


def fit_by_hand(capture: Capture, *arguments, **options) -> HandFit:
    """Hands in the rest pose, their wrists where the joints are; absent where these are."""
    surface = HandSurface([default_hand(side) for side in SIDES])
    count = len(capture.frames)
    pose = HandPose.rest(2, (count,))
    wrists = torch.from_numpy(capture.stored_keypoints[:, :, 0]).float()
    pose.translation = wrists - surface.pose(pose, torch.zeros(10)).keypoints[:, :, 0]
    pose.valid = wrists.isfinite().all(dim=-1)
    return HandFit(
        sides=SIDES,
        frames=list(capture.frames),
        shape=torch.zeros(10),
        displacement=torch.zeros(surface.num_vertices, 3),
        pose=pose,
        camera_rotation={},
        keypoints_3d=capture.stored_keypoints,
        report={},
    )
