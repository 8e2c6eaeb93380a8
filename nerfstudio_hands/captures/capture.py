"""The record that every reader of a capture yields: cameras x frames, pictures by path, joints in pixels or in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.image_reading import read_mask, read_object_mask
from nerfstudio_hands.hand_model.joints import SIDES
from nerfstudio_hands.transforms.projection import corrected_extrinsics, zoomed_intrinsics


@dataclass(frozen=True)
class CaptureCamera:
    """A calibrated pinhole camera; its pictures are already undistorted.

    Attributes:
        name: Name as in the files, e.g. "03".
        intrinsics: K in pixels; the centre of the upper left pixel is (0.5, 0.5).
        world_to_camera: Transform of metres in the capture's world to OpenCV axes (x right, y down, z forward): rigid,
            but for a camera whose pictures are mirrored on disk.
        width: Picture width in pixels.
        height: Picture height in pixels.
    """

    name: str
    intrinsics: Float[np.ndarray, "3 3"]
    world_to_camera: Float[np.ndarray, "4 4"]
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    def corrected(self, rotation: Float[np.ndarray, "3"], zoom: float) -> CaptureCamera:
        """The camera turned about its centre (axis-angle in its axes, radians), its focal lengths times exp(zoom)."""
        turn = torch.from_numpy(np.asarray(rotation, dtype=np.float64))
        extrinsics = corrected_extrinsics(torch.from_numpy(self.world_to_camera)[None], turn[None])[0]
        k = zoomed_intrinsics(torch.from_numpy(self.intrinsics), torch.tensor(zoom, dtype=torch.float64))
        return replace(self, intrinsics=k.numpy(), world_to_camera=extrinsics.numpy())


@dataclass
class ManoAnnotations:
    """Parameters of MANO hands (`use_pca=False, flat_hand_mean=False`) that came with a capture, in its world.

    Sides are in the order left, right; NaN where there is no annotation.

    Attributes:
        pose: Axis-angle of the root, then of the 15 other joints in MANO order, radians.
        shape: Shape coefficients, which annotations let change from frame to frame.
        trans: MANO's translation, metres.
    """

    pose: Float[np.ndarray, "T 2 48"]
    shape: Float[np.ndarray, "T 2 10"]
    trans: Float[np.ndarray, "T 2 3"]


@dataclass
class Capture:
    """Calibrated pictures of hands; T frames, C cameras.

    Attributes:
        root: Folder that was read; nothing is ever written there.
        cameras: All calibrated cameras, also those without files.
        frames: Name of each frame, in order of time.
        images: Picture of (frame, camera name), where there is one.
        masks: Mask of (frame, camera name), where there is one, for `read_mask`: hands and forearms, no label per hand.
            It may be the picture itself, whose alpha channel then is the mask.
        detections: Pixels of the 21 landmarks, sides in the order left, right, joints in MediaPipe order
            (wrist, thumb, index, middle, ring, pinky from base to tip); NaN where absent. None where the capture comes
            with joints in space instead.
        problems: A sentence for each thing that was missing or odd and was survived.
        stored_keypoints: Joints that came with the capture, in metres in its world, sides and joints in the same order;
            NaN where absent.
        mano_annotations: Hand parameters that came with the capture.
        sequences: The take that each frame belongs to, where a capture has several.
        object_masks: Mask of what the hand holds, of (frame, camera), where there is one; white where it is seen.
        object_poses: First guess of the transform from the object's own frame to the capture's world, metres.
        object_radius: Metres from the origin of that frame within which the object lies; None before somebody looked.
        object_hull: Points in the object's own frame, spread evenly over all that its masks leave of space; None before
            somebody looked, and without masks.
        fps: Frames a second; None where nothing tells.
        masks_inverted: (frame, camera) of the masks in which hands are black on white (`hand_mask` takes care of it).
        true_masks: Of a synthetic capture the skin that is seen, of (frame, camera): to judge by, never to learn from.
        metric_landmarks: What a detector says of the form of each hand that it saw: the landmarks of `detections` in
            metres about the hand's own centre, camera axes; NaN where it says nothing.
        times: Seconds at which the frames of a film were taken; None for frames that are no film.
        metric: Whether the unit of the world is known to be the metre; else it has to be told from the hand.
    """

    root: Path
    cameras: list[CaptureCamera]
    frames: list[str]
    images: dict[tuple[str, str], Path]
    masks: dict[tuple[str, str], Path]
    detections: Float[np.ndarray, "T C 2 21 2"] | None
    problems: list[str]
    stored_keypoints: Float[np.ndarray, "T 2 21 3"] | None = None
    mano_annotations: ManoAnnotations | None = None
    sequences: list[str] | None = None
    object_masks: dict[tuple[str, str], Path] = field(default_factory=dict)
    object_poses: Float[np.ndarray, "T 4 4"] | None = None
    object_radius: float | None = None
    object_hull: Float[np.ndarray, "N 3"] | None = None
    fps: float | None = None
    masks_inverted: set[tuple[str, str]] = field(default_factory=set)
    true_masks: dict[tuple[str, str], Path] = field(default_factory=dict)
    metric_landmarks: Float[np.ndarray, "T C 2 21 3"] | None = None
    times: Float[np.ndarray, " T"] | None = None
    metric: bool = True

    @property
    def has_track(self) -> bool:
        """Whether hands are placed frame by frame before pictures are looked at: in a film, or where joints are known
        in space."""
        return self.detections is None or self.times is not None

    @property
    def camera_names(self) -> list[str]:
        """Names of all calibrated cameras, in the order of `cameras`."""
        return [camera.name for camera in self.cameras]

    @property
    def cameras_with_images(self) -> list[str]:
        """Names of the cameras that have a picture in at least one frame."""
        seen = {name for _, name in self.images}
        return [name for name in self.camera_names if name in seen]

    def camera_index(self, name: str) -> int:
        """Index of a camera in `cameras` and in `detections`.

        Raises:
            HandsError: There is no camera of that name.
        """
        if name not in self.camera_names:
            raise HandsError(
                f"{self.root}: expected camera names among {', '.join(self.camera_names)}, found '{name}': "
                "give the names as they stand in the files."
            )
        return self.camera_names.index(name)

    def camera(self, name: str) -> CaptureCamera:
        """The camera of that name; raises HandsError where there is none."""
        return self.cameras[self.camera_index(name)]


def select_cameras(capture: Capture, names: Sequence[str]) -> Capture:
    """The same capture seen by some of its cameras only, in the order of `names`.

    Raises:
        HandsError: A name is unknown, or none of the cameras has a picture.
    """
    indices = [capture.camera_index(name) for name in names]
    kept = set(names)
    images = {key: path for key, path in capture.images.items() if key[1] in kept}
    if not images:
        raise HandsError(
            f"{capture.root}: expected at least one camera with pictures after filtering, found none among "
            f"'{', '.join(names)}': leave out fewer cameras (those with pictures are "
            f"{', '.join(capture.cameras_with_images) or 'none'})."
        )
    return replace(
        capture,
        cameras=[capture.cameras[index] for index in indices],
        images=images,
        masks={key: path for key, path in capture.masks.items() if key[1] in kept},
        object_masks={key: path for key, path in capture.object_masks.items() if key[1] in kept},
        detections=None if capture.detections is None else capture.detections[:, indices],
        metric_landmarks=None if capture.metric_landmarks is None else capture.metric_landmarks[:, indices],
    )


def require_side(capture: Capture, side: str) -> None:
    """Make sure that a hand can be fitted: two cameras detected it in at least one frame, or its joints are known.

    Raises:
        HandsError: It was never detected, or by one camera only.
    """
    if capture.detections is None:
        if not np.isfinite(capture.stored_keypoints[:, SIDES.index(side)]).any():
            raise HandsError(
                f"{capture.root}: expected joints of the {side} hand in at least one frame, found none: ask for the "
                "other hand or read other frames."
            )
        return
    seen = np.isfinite(capture.detections[:, :, SIDES.index(side)]).all(-1).any(-1).sum(1)
    most = int(seen.max(initial=0))
    if most < 2:
        found = "none" if most == 0 else "one camera only"
        raise HandsError(
            f"{capture.root}: expected detections of the {side} hand in at least two cameras of a frame, "
            f"found {found}: ask for the other hand or add detections."
        )


def hand_mask(capture: Capture, key: tuple[str, str]) -> Bool[np.ndarray, "H W"] | None:
    """Where hands and forearms are seen in the picture of (frame, camera name); None without a mask."""
    path = capture.masks.get(key)
    if path is None:
        return None
    return read_mask(path, capture.camera(key[1]).size, inverted=key in capture.masks_inverted)


def object_pixels(capture: Capture, key: tuple[str, str]) -> Bool[np.ndarray, "H W"] | None:
    """Where the object is seen in the picture of (frame, camera name); None without a mask of it."""
    path = capture.object_masks.get(key)
    return None if path is None else read_object_mask(path, capture.camera(key[1]).size)
