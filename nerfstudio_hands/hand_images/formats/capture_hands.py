"""Pictures of a capture, each with one of its hands: multi-view captures as monocular data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.splits import Split
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_image
from nerfstudio_hands.hand_images.hand_image import HandImage, HandLabels
from nerfstudio_hands.hand_images.mano_vertices import posed_vertices
from nerfstudio_hands.hand_model.joints import SIDES

INSIDE = 0.5
"""Share of a hand's joints that have to lie in a picture for it to count."""


@dataclass(frozen=True)
class KnownHands:
    """Hands of a capture's frames in its world, sides in the order left, right; NaN where there is none."""

    source: str
    """The hand model, for `load_hand`."""
    joints: Float32[np.ndarray, "T 2 21 3"]
    """Meters."""
    rotations: Float32[np.ndarray, "T 2 16 3"]
    """Axis-angle, the wrist's in the world; see `HandLabels`."""
    shape: Float32[np.ndarray, " K"]


class CaptureHands:
    """One hand of one picture of a capture each; see `hand_image.HandImages`.

    Joints are those of a fit where one is given, else those that came with the capture; where there are only landmarks
    in pictures, these are all that the labels say.
    """

    def __init__(self, capture: Capture, split: Split, part: str, hands: KnownHands | None = None) -> None:
        """Look up which hands are in which pictures.

        Args:
            capture: The capture.
            split: Which of its cameras and frames train.
            part: `train`, or `test` for all that is held out: cameras, frames, or both.
            hands: What a fit says of it.

        Raises:
            HandsError: No picture of this part shows a hand of which something is known.
        """
        self.name = f"{capture.root} ({part})"
        self.hand_model = "default" if hands is None or hands.source == "default" else "mano"
        self._capture, self._hands = capture, hands
        self._rows = [row for row in self._all_rows() if self._trains(split, row) == (part == "train")]
        if not self._rows:
            raise HandsError(
                f"{capture.root}: expected pictures with hands for {part!r}, found none of which joints or landmarks "
                "are known; fit the capture first, or hold out less."
            )

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, index: int) -> HandLabels:
        """The labels alone, without decoding the picture."""
        return self._labels(*self._rows[index])

    def read(self, index: int) -> HandImage:
        """Picture and labels; masks of captures have both hands and forearms in them, which is not asked for here."""
        frame, camera, _ = self._rows[index]
        path = self._capture.images[self._capture.frames[frame], self._capture.camera_names[camera]]
        return HandImage(read_image(path), self.labels(index))

    def _all_rows(self) -> list[tuple[int, int, int]]:
        """Frame, camera and side of every hand that is seen."""
        cameras = {name: index for index, name in enumerate(self._capture.camera_names)}
        rows = []
        for frame, name in enumerate(self._capture.frames):
            for camera, index in cameras.items():
                if (name, camera) in self._capture.images:
                    rows += [(frame, index, side) for side in (0, 1) if self._is_seen(frame, index, side)]
        return rows

    def _trains(self, split: Split, row: tuple[int, int, int]) -> bool:
        frame, camera, _ = row
        return bool(split.train_frames[frame]) and self._capture.camera_names[camera] in split.train_cameras

    def _is_seen(self, frame: int, camera: int, side: int) -> bool:
        labels = self._labels(frame, camera, side)
        if labels.pixels is None or (labels.joints is not None and labels.joints[:, 2].min() <= 0):
            return False
        size = np.array(self._capture.cameras[camera].size)
        return bool(((labels.pixels >= 0) & (labels.pixels < size)).all(1).mean() >= INSIDE)

    def _labels(self, frame: int, camera: int, side: int) -> HandLabels:
        seen_by = self._capture.cameras[camera]
        joints = self._joints(frame, side)
        if joints is None:
            return self._landmarks(frame, camera, side)
        # A camera whose pictures are mirrored shows a left hand as a right one.
        mirrored = np.linalg.det(seen_by.world_to_camera[:3, :3]) < 0
        in_camera = (joints @ seen_by.world_to_camera[:3, :3].T + seen_by.world_to_camera[:3, 3]).astype(np.float32)
        homogeneous = in_camera @ seen_by.intrinsics.T
        pixels = (homogeneous[:, :2] / homogeneous[:, 2:]).astype(np.float32)
        shown = SIDES[side ^ int(mirrored)]
        rotations = None if mirrored or self._hands is None else self._turned(frame, side, seen_by)
        vertices = None
        if rotations is not None:
            vertices = posed_vertices(self._hands.source, rotations, self._hands.shape, in_camera[0], side=shown)
        return HandLabels(
            side=shown,
            intrinsics=seen_by.intrinsics,
            joints=in_camera,
            pixels=pixels,
            confidence=np.ones(21, np.float32),
            vertices=vertices,
            rotations=rotations,
            shape=None if rotations is None else self._hands.shape,
            bone_length=float(np.linalg.norm(in_camera[10] - in_camera[9])),
            box=np.concatenate([pixels.min(0), pixels.max(0)]),
        )

    def _joints(self, frame: int, side: int) -> Float[np.ndarray, "21 3"] | None:
        """In the world; None where not all are known."""
        table = self._capture.stored_keypoints if self._hands is None else self._hands.joints
        joints = None if table is None else table[frame, side]
        return None if joints is None or not np.isfinite(joints).all() else joints

    def _turned(self, frame: int, side: int, camera: CaptureCamera) -> Float32[np.ndarray, "16 3"]:
        """Rotations with the wrist's in the camera's frame."""
        turns = self._hands.rotations[frame, side].copy()
        wrist = camera.world_to_camera[:3, :3] @ Rotation.from_rotvec(turns[0]).as_matrix()
        turns[0] = Rotation.from_matrix(wrist).as_rotvec()
        return turns

    def _landmarks(self, frame: int, camera: int, side: int) -> HandLabels:
        """What a detector saw; landmarks that it did not see lie at the mean of the others, without confidence."""
        seen_by = self._capture.cameras[camera]
        nothing = HandLabels(side=SIDES[side], intrinsics=seen_by.intrinsics)
        if self._hands is not None or self._capture.detections is None:
            return nothing
        pixels = self._capture.detections[frame, camera, side]
        there = np.isfinite(pixels).all(1)
        if not there.any():
            return nothing
        known = pixels[there]
        return HandLabels(
            side=SIDES[side],
            intrinsics=seen_by.intrinsics,
            pixels=np.where(there[:, None], pixels, known.mean(0)).astype(np.float32),
            confidence=there.astype(np.float32),
            box=np.concatenate([known.min(0), known.max(0)]).astype(np.float32),
        )
