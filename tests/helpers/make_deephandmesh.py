"""Writes a tiny tree in DeepHandMesh's layout, known hands before known cameras, for tests to read and to break."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from nerfstudio_hands.hand_model import SIDES, HandPose, HandSurface, default_hand
from nerfstudio_hands.hand_model.joint_limits import bend_fingers

SIZE = (334, 512)
COLOUR = ("400002", "400013", "400026")
GREY = "410001"
FRAMES = {"0003_RT_fist": (12, 30, 1048), "0007_LT_wave": (1066,), "0009_DH_clap": (1084,)}
SHOWN = {"0003_RT_fist": ("right",), "0007_LT_wave": ("left",), "0009_DH_clap": SIDES}
SUBJECT = "subject_4"

# The published order: each finger from its tip inwards, thumb first, the wrist last. Ours: the wrist, then outwards.
PUBLISHED = [*(4 * finger + k for finger in range(5) for k in (4, 3, 2, 1)), 0]


@dataclass
class DeepHandMeshTruth:
    """What the tree was made from.

    Attributes:
        joints: Left and right hand by frame, our order, millimetres [2, 21, 3].
        vertices: The same for the surfaces [2, V, 3].
        faces: Of both hands [2, F, 3].
        campos: Position of each camera, millimetres.
        camrot: World to camera.
        focal: Pixels of 334x512.
        princpt: Pixels, the centre of the upper left one being (0, 0).
    """

    joints: dict[int, np.ndarray]
    vertices: dict[int, np.ndarray]
    faces: np.ndarray
    campos: dict[str, np.ndarray]
    camrot: dict[str, np.ndarray]
    focal: dict[str, np.ndarray]
    princpt: dict[str, np.ndarray]

    def pixels(self, camera: str, points: np.ndarray) -> np.ndarray:
        """The published projection of points in millimetres; the centre of the upper left pixel is (0, 0)."""
        in_camera = (points - self.campos[camera]) @ self.camrot[camera].T
        return in_camera[..., :2] / in_camera[..., 2:] * self.focal[camera] + self.princpt[camera]

    def silhouette(self, camera: str, sequence: str, frame: int) -> np.ndarray:
        """Pixels of 334x512 that the hands of a picture cover."""
        picture = Image.new("1", SIZE)
        draw = ImageDraw.Draw(picture)
        for side in SHOWN[sequence]:
            corners = self.pixels(camera, self.vertices[frame][SIDES.index(side)])[self.faces[SIDES.index(side)]]
            for triangle in corners:
                draw.polygon([tuple(corner) for corner in triangle], fill=1)
        return np.asarray(picture)


def make_deephandmesh(root: Path, *, scale: float = 1, transpose: tuple[str, ...] = ()) -> DeepHandMeshTruth:
    """Five frames in three sequences, three colour cameras and a grey one on an arc round the hands.

    Keypoint files hold both hands throughout, whatever the sequence shows. Beside them lies a depth map: a pickle that
    must not be read.

    Args:
        root: Folder to make.
        scale: Pictures are so many times 334x512; the calibration is of that size.
        transpose: Cameras whose pictures are stored with x and y exchanged.
    """
    truth = DeepHandMeshTruth(*_hands(), {}, {}, {}, {})
    for index, camera in enumerate((*COLOUR, GREY)):
        angle = 0.5 * index - 0.5
        turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
        tilt = np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
        truth.camrot[camera] = tilt @ turn
        truth.campos[camera] = np.array([50.0, -120.0, 900.0]) - 1100 * truth.camrot[camera][2]
        truth.focal[camera] = np.array([900.0, 905.0])
        truth.princpt[camera] = np.array([166.0 + index, 254.0])

    annotations = root / "annotations"
    (annotations / "depthmaps" / SUBJECT / "000012").mkdir(parents=True)
    (annotations / "depthmaps" / SUBJECT / "000012" / "depthmap400002.pkl").write_bytes(b"cos\nabort\n(tR.")
    (annotations / "keypoints" / SUBJECT).mkdir(parents=True)
    (annotations / "KRT_512").write_text("\n".join(_camera_lines(truth, camera) for camera in (*COLOUR, GREY)))
    for sequence, frames in FRAMES.items():
        for frame in frames:
            _write_keypoints(keypoint_file(root, frame), truth.joints[frame])
            for camera in (*COLOUR, GREY):
                pixels = np.where(truth.silhouette(camera, sequence, frame)[..., None], (200, 150, 120), (20, 20, 25))
                path = picture(root, sequence, camera, frame)
                path.parent.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(pixels.astype(np.uint8)).resize((int(SIZE[0] * scale), int(SIZE[1] * scale)))
                if camera in transpose:
                    image = image.transpose(Image.Transpose.TRANSPOSE)
                image.save(path, quality=92)
    return truth


def _hands() -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], np.ndarray]:
    """Joints and vertices of both hands by frame, and their faces: the left hand 160 mm beside the right one."""
    numbers = [frame for frames in FRAMES.values() for frame in frames]
    surface = HandSurface([default_hand(side) for side in SIDES])
    pose = HandPose.rest(2, (len(numbers),))
    bend = torch.linspace(0.1, 0.9, len(numbers))[:, None].expand(-1, 5)
    for h, hand in enumerate(surface.hands):
        pose.local_rotations[:, h] = bend_fingers(hand, bend, torch.zeros_like(bend))
        pose.global_orient[:, h] = torch.tensor([1.2, 0.3 * (-1) ** h, 0.2])
    posed = surface.pose(pose, torch.zeros(10))
    places = torch.tensor([[0.13, -0.12, 0.9], [-0.03, -0.12, 0.9]])
    shift = places - posed.keypoints.mean(dim=2)
    vertices = posed.vertices.unflatten(1, (2, -1)) + shift[:, :, None]
    joints = posed.keypoints + shift[:, :, None]
    faces = np.stack([hand.faces.numpy() for hand in surface.hands])
    return (
        dict(zip(numbers, joints.double().numpy() * 1000, strict=True)),
        dict(zip(numbers, vertices.double().numpy() * 1000, strict=True)),
        faces,
    )


def _camera_lines(truth: DeepHandMeshTruth, camera: str) -> str:
    (fx, fy), (cx, cy) = truth.focal[camera], truth.princpt[camera]
    extrinsics = np.column_stack([truth.camrot[camera], -truth.camrot[camera] @ truth.campos[camera]])
    rows = [[fx, 0, cx], [0, fy, cy], [0, 0, 1], [0] * 5, *extrinsics]
    return "\n".join([camera, *(" ".join(f"{x:.8g}" for x in row) for row in rows), ""])


def _write_keypoints(path: Path, joints: np.ndarray) -> None:
    published = np.concatenate([joints[1][PUBLISHED], joints[0][PUBLISHED]])
    path.write_text("".join(f"{i} {x:.4f} {y:.4f} {z:.4f} 55.2 61\n" for i, (x, y, z) in enumerate(published)))


def picture(root: Path, sequence: str, camera: str, frame: int) -> Path:
    """Path of a picture."""
    return root / "images" / SUBJECT / sequence / f"cam{camera}" / f"image{frame:04d}.jpg"


def keypoint_file(root: Path, frame: int) -> Path:
    """Path of the joints of a frame."""
    return root / "annotations" / "keypoints" / SUBJECT / f"keypoints{frame:04d}.pts"
