"""Writes own pictures as a capture: `transforms.json` as nerfstudio has it, `images/`, `landmarks/`, `masks/`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.captures.formats.pictures import IMAGES, LANDMARKS, MASKS, TRANSFORMS
from nerfstudio_hands.captures.landmark_files import ImageLandmarks, write_landmarks

JPEG_QUALITY = 95


@dataclass
class CaptureWriter:
    """A capture of own pictures that is being written, picture by picture.

    Attributes:
        root: Folder, which is there.
        cameras: By name; pictures are undistorted already.
        is_film: Whether cameras stand still and frames are instants; else every camera is of one picture.
        notes: What else `transforms.json` says of the capture.
    """

    root: Path
    cameras: dict[str, CaptureCamera]
    is_film: bool
    notes: dict[str, Any] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        camera: str,
        frame: int,
        seconds: float,
        image: UInt8[np.ndarray, "H W 3"],
        landmarks: ImageLandmarks,
        mask: Bool[np.ndarray, "H W"] | None = None,
    ) -> None:
        """Writes a picture and what is known of it.

        Args:
            camera: Its name.
            frame: Number of the instant.
            seconds: Since the first one; NaN where nobody knows.
            image: RGB, undistorted.
            landmarks: Of that picture.
            mask: White where hands are seen.

        Raises:
            OSError: The folder cannot be written.
        """
        below = Path(camera) / f"{frame:05d}" if self.is_film else Path(camera)
        # Below 640 pixels JPEG's blocks are as large as what is learnt.
        suffix = ".png" if max(image.shape[:2]) <= 640 else ".jpg"
        _write(self.root / IMAGES / below.with_suffix(suffix), image[..., ::-1])
        file = (self.root / LANDMARKS / below).with_suffix(".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_landmarks(file, landmarks)
        entry = {"file_path": (Path(IMAGES) / below.with_suffix(suffix)).as_posix(), **_camera(self.cameras[camera])}
        if self.is_film:
            entry |= {"camera": camera, "frame": frame}
            if np.isfinite(seconds):
                entry["time"] = round(seconds, 6)
        if mask is not None:
            _write(self.root / MASKS / below.with_suffix(".png"), mask.astype(np.uint8) * 255)
            entry["mask_path"] = (Path(MASKS) / below.with_suffix(".png")).as_posix()
        self.entries.append(entry)

    def finish(self) -> None:
        """Writes `transforms.json`, without which the folder is no capture."""
        content = {"camera_model": "OPENCV", "metric": True, **self.notes, "frames": self.entries}
        (self.root / TRANSFORMS).write_text(json.dumps(content, indent=1), encoding="utf8")


def _camera(camera: CaptureCamera) -> dict[str, Any]:
    """Intrinsics, and the transform from OpenGL's camera axes to the world."""
    k = camera.intrinsics
    to_world = np.linalg.inv(camera.world_to_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])
    return {
        "fl_x": k[0, 0],
        "fl_y": k[1, 1],
        "cx": k[0, 2],
        "cy": k[1, 2],
        "w": camera.width,
        "h": camera.height,
        "transform_matrix": to_world.tolist(),
    }


def _write(path: Path, image: UInt8[np.ndarray, "H W *channels"]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(encoded.tobytes())
