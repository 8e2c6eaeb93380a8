"""A tiny capture room with several frames on disk, for tests of what is held out: a right hand drawn flat."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand

FRAMES = ("1", "2", "3")
CAMERAS = ("00", "01", "02", "03", "04")
WIDTH, HEIGHT, FOCAL, RADIUS = 160, 128, 210.0, 0.6
SKIN, WALL = (200, 150, 130), (40, 90, 70)
OBJECT_MIDDLE, OBJECT_RADIUS = (0.0, -0.06, 0.05), 0.02


def make_room(root: Path) -> None:
    """Writes scans `1` to `3` with pictures, masks, masks of a held ball, noisy landmarks and one calibration."""
    surface = HandSurface((default_hand("right"),))
    pose = HandPose.rest(1, (len(FRAMES),))
    pose.global_orient[:, 0] = torch.tensor([[-0.3, 0.2, 0.5], [-0.2, 0.5, 0.4], [-0.4, 0.8, 0.3]])
    pose.local_rotations[:, 0, :, 2] = torch.tensor([0.1, 0.3, 0.5])[:, None]
    shape = torch.zeros(surface.hands[0].num_shape)
    shape[0] = 0.7
    pose.translation -= surface.pose(pose, shape).vertices.mean(dim=1, keepdim=True)
    posed = surface.pose(pose, shape)
    rng = np.random.default_rng(0)
    for t, frame in enumerate(FRAMES):
        scan = root / frame
        for folder in ("img", "mask", "obj_mask", "pose", "camera"):
            (scan / folder).mkdir(parents=True)
        np.savez(scan / "camera" / "param.npz", **_calibration())
        for camera, name in enumerate(CAMERAS):
            vertices = _pixels(camera, posed.vertices[t].numpy())
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            for triangle in np.round(vertices[surface.faces.numpy()]).astype(np.int32):
                cv2.fillConvexPoly(mask, triangle, 255)
            held = np.zeros_like(mask)
            middle = np.round(_pixels(camera, np.array([OBJECT_MIDDLE]))[0]).astype(int)
            cv2.circle(held, middle.tolist(), round(FOCAL * OBJECT_RADIUS / RADIUS), 255, -1)
            mask[held > 0] = 0
            picture = np.where(mask[..., None] > 0, SKIN, WALL) + rng.normal(0, 5, (HEIGHT, WIDTH, 3))
            cv2.imwrite(str(scan / "img" / f"{name}.png"), np.clip(picture, 0, 255).astype(np.uint8)[..., ::-1])
            cv2.imwrite(str(scan / "mask" / f"{name}.png"), mask)
            cv2.imwrite(str(scan / "obj_mask" / f"{name}.png"), held)
            joints = _pixels(camera, posed.keypoints[t, 0].numpy()) + rng.normal(0, 0.3, (21, 2))
            write_landmarks(scan / "pose" / f"{name}.json", joints)


def write_landmarks(path: Path, pixels: np.ndarray) -> None:
    """Landmarks [21, 2] of the right hand, in the layout's form."""
    landmarks = np.concatenate([pixels / (WIDTH, HEIGHT) * 2 - 1, np.zeros((21, 1))], axis=1)
    path.write_text(json.dumps({"Left": [], "Right": landmarks.ravel().tolist()}))


def spoil_image(path: Path) -> None:
    """Another picture of the same size: it is turned upside down, and its colours change."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), np.ascontiguousarray(255 - picture[::-1]))


def spoil_mask(path: Path) -> None:
    """A mask of something else."""
    mask = np.zeros_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    mask[20:60, 30:90] = 255
    cv2.imwrite(str(path), mask)


def spoil_landmarks(path: Path) -> None:
    """The hand a tenth larger."""
    landmarks = np.array(json.loads(path.read_text())["Right"]).reshape(21, 3)[:, :2]
    pixels = (landmarks + 1) / 2 * (WIDTH, HEIGHT)
    write_landmarks(path, pixels.mean(axis=0) + 1.1 * (pixels - pixels.mean(axis=0)))


def spoil_calibration(path: Path, camera: int) -> None:
    """One camera shifted by five centimetres and turned upside down."""
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays[f"ext_{camera}"] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ arrays[f"ext_{camera}"]
    arrays[f"ext_{camera}"][0, 3] += 0.05
    arrays[f"world_mat_{camera}"] = arrays[f"int_{camera}"] @ arrays[f"ext_{camera}"]
    np.savez(path, **arrays)


def spoil(root: Path, frame: str, camera: str) -> None:
    """Changes picture, masks and landmarks of one camera in one frame."""
    spoil_image(root / frame / "img" / f"{camera}.png")
    spoil_mask(root / frame / "mask" / f"{camera}.png")
    spoil_mask(root / frame / "obj_mask" / f"{camera}.png")
    spoil_landmarks(root / frame / "pose" / f"{camera}.json")


def _calibration() -> dict[str, np.ndarray]:
    arrays = {}
    for camera in range(len(CAMERAS)):
        k = np.diag([FOCAL, FOCAL, 1.0, 1.0])
        k[:2, 2] = WIDTH / 2, HEIGHT / 2
        arrays |= {f"int_{camera}": k, f"ext_{camera}": _extrinsics(camera), f"scale_mat_{camera}": np.eye(4)}
        arrays[f"world_mat_{camera}"] = k @ _extrinsics(camera)
    return arrays


def _extrinsics(camera: int) -> np.ndarray:
    """World to camera: on a circle round the origin, at changing height."""
    angle = 1.2 * camera
    center = RADIUS * np.array([np.cos(angle), 0.4 * np.sin(2.0 * camera), np.sin(angle)])
    forward = -center / np.linalg.norm(center)
    right = np.cross([0.0, -1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    matrix[:3, 3] = -matrix[:3, :3] @ center
    return matrix


def _pixels(camera: int, points: np.ndarray) -> np.ndarray:
    matrix = _extrinsics(camera)
    x, y, z = (points @ matrix[:3, :3].T + matrix[:3, 3]).T
    return np.stack([FOCAL * x / z + WIDTH / 2, FOCAL * y / z + HEIGHT / 2], axis=1)
