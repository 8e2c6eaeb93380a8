"""Reader of InterHand2.6M (Moon et al., ECCV 2020); see `read_interhand` for the layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from rich.progress import track

from nerfstudio_hands.calibration.checks import check_camera
from nerfstudio_hands.captures.capture import Capture, CaptureCamera, ManoAnnotations
from nerfstudio_hands.captures.formats.interhand_annotations import (
    HAND_TYPES,
    REMEDY,
    InterHandAnnotations,
    annotation_path,
    is_first_release,
    read_annotations,
)
from nerfstudio_hands.captures.image_sizes import leave_out_other_sizes, sizes_on_disk
from nerfstudio_hands.captures.image_tree import (
    MANY_FOLDERS,
    ImageTree,
    calibrated_images,
    folders_in,
    listed_images,
    some_frames,
)
from nerfstudio_hands.captures.joint_checks import believable_joints
from nerfstudio_hands.captures.object_files import POSE_FILE, check_object_masks, read_object_poses
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model.joints import SIDES, from_interhand
from nerfstudio_hands.motion.frame_clock import frame_clock, usual_step
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

SPLITS = ("train", "val", "test")

COLOR_PREFIX = "400"
"""Names of the colour cameras begin with this, those of the grey ones with 41."""

WRIST = 20
"""The wrist among the 21 joints of a hand."""

TRUE_MASK_FOLDER = "truth/mask_skin"
"""Where a synthetic capture has the skin that is seen, under the names of the images."""


def is_interhand(root: Path) -> bool:
    """Whether a folder holds `annotations/` and the images of at least one split."""
    return (root / "annotations").is_dir() and any((root / "images" / split).is_dir() for split in SPLITS)


def nearby_interhand(root: Path) -> Path | None:
    """The folder that was meant: one below the given one, or one that it lies in."""
    below = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    above = list(root.absolute().parents)[:6]
    inside = [folder for folder in above if root.absolute().relative_to(folder).parts[0] in ("images", "annotations")]
    return next((folder for folder in (*below, *inside) if is_interhand(folder)), None)


def read_interhand(
    root: Path,
    *,
    split: str = "test",
    capture: int = 0,
    sequences: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
    frame_range: tuple[int, int] | None = None,
    frame_stride: int = 1,
    hand_type: str | None = None,
    gray_cameras: bool = False,
    trains: Callable[[list[str]], Bool[np.ndarray, " T"]] | None = None,
) -> Capture:
    """Reads one capture of InterHand2.6M; a frame is named `<sequence>/<frame number>`.

    Layout: `images/<split>/Capture<c>/<sequence>/cam<camera>/image<frame>.jpg` and `annotations/<split>/
    InterHand2.6M_<split>_{data,camera,joint_3d,MANO_NeuralAnnot}.json`, the last one optional. Lengths are millimetres
    there; `X_cam = camrot (X_world - campos)`; `princpt` is taken to have the centre of the upper left pixel at (0, 0),
    as the published code does that crops pictures round projected joints (not verified on pictures). Joints become
    `stored_keypoints`. A hand is absent where its wrist is not valid or the frame is said to show the other hand only.
    What is missing, black or null is left out and counted in `problems`.

    Of what the hand holds, which InterHand2.6M does not know, there may be masks (255 where it is seen, else 0) in
    `obj_mask/` under the names of the images, as .png, and first guesses of its poses in `object_pose.npz` beside
    `images/` (see `read_object_poses`). A synthetic capture has the true masks of its pictures in `truth/`.

    Args:
        root: Folder with `images/` and `annotations/`; pictures of 5 and of 30 frames a second are read alike.
        split: train, val or test.
        capture: Number of the capture.
        sequences: Names of the takes; all by default.
        cameras: Names of the cameras, grey ones too; by default all colour cameras.
        frame_range: First and last frame number.
        frame_stride: Of the annotated frames of each sequence, every n-th is read.
        hand_type: Only frames that show "right", "left" or "interacting" hands.
        gray_cameras: Whether grey cameras are read by default.
        trains: Which frames may say how a calibration is to be read, told from the sequence of each; by default all.

    Raises:
        HandsError: A folder, file or name is not there, an annotation file is broken, or no frame is left.
    """
    root = Path(root)
    if not is_interhand(root):
        raise HandsError(_wrong_root(root))
    _check_options(frame_range, frame_stride, hand_type)
    split = _known(root / "images", "--split", split, [name for name in SPLITS if (root / "images" / name).is_dir()])
    _known(root / "images" / split, "--capture", str(capture), folders_in(root / "images" / split, "Capture"))
    folder = root / "images" / split / f"Capture{capture}"
    there = folders_in(folder)
    chosen = [_known(folder, "--sequences", name, there) for name in sequences] if sequences else there
    annotations = read_annotations(root, split, capture)

    in_sequence = {name: folders_in(folder / name, "cam") for name in chosen}
    there = sorted({camera for names in in_sequence.values() for camera in names})
    if cameras is not None:
        wanted = {_known(folder, "--cameras", name, there) for name in cameras}
    else:
        wanted = {name for name in there if gray_cameras or name.startswith(COLOR_PREFIX)}
        if not wanted:
            raise HandsError(
                f"{folder}: expected folders cam{COLOR_PREFIX}xxx of colour cameras, found "
                f"{', '.join(there) or 'no cameras'}: download their images, or ask for --gray-cameras."
            )
    uncalibrated = sorted(wanted - set(annotations.cameras.tolist()))
    wanted -= set(uncalibrated)

    problems = [f"Cameras without calibration, left out: {', '.join(uncalibrated)}."] if uncalibrated else []
    path = annotation_path(root, split, "joint_3d")
    joints = believable_joints(path, _joints(annotations), annotations.frames.tolist(), problems)
    found = _Search(annotations, joints, frame_range or (0, np.inf), frame_stride, hand_type)
    few = sum(map(len, in_sequence.values())) < MANY_FOLDERS
    for sequence in track(chosen, description="Looking for pictures", transient=True, disable=few):
        found.add(folder / sequence, sorted(wanted & set(in_sequence[sequence])))
    if not found.tree.paths:
        raise HandsError(f"{folder}: {found.why_none()}")
    if is_first_release(root, split):
        problems.append(f"Annotations are those of the first release ({annotation_path(root, split, 'data').parent}).")
    return _capture(root, split, annotations, joints, found, problems, trains)


class _Search:
    """Looks for images of the frames that are wanted and annotated.

    Attributes:
        tree: What was found.
        row_of: Row of each annotated frame number in the annotations.
    """

    def __init__(
        self,
        annotations: InterHandAnnotations,
        joints: Float[np.ndarray, "F 2 21 3"],
        frame_range: tuple[float, float],
        frame_stride: int,
        hand_type: str | None,
    ) -> None:
        self.tree = ImageTree()
        self.row_of = {frame: row for row, frame in enumerate(annotations.frames.tolist())}
        self._images = set(map(tuple, annotations.images.tolist()))
        self._camera_index = {name: index for index, name in enumerate(annotations.cameras.tolist())}
        self._types = [HAND_TYPES[index] if index >= 0 else None for index in annotations.hand_type]
        self._has_hand = np.isfinite(joints).any(axis=(1, 2, 3))
        self._frame_range, self._frame_stride, self._hand_type = frame_range, frame_stride, hand_type

    def add(self, folder: Path, cameras: Sequence[str]) -> None:
        """Takes up the images of a sequence."""
        listed = {camera: listed_images(folder / f"cam{camera}") for camera in cameras}
        low, high = self._frame_range
        numbers = sorted({n for entries in listed.values() for n in entries if low <= n <= high})
        self.tree.unannotated += [n for n in numbers if n not in self.row_of]
        annotated = [n for n in numbers if n in self.row_of][:: self._frame_stride]
        of_type = [n for n in annotated if self._hand_type in (None, self._types[self.row_of[n]])]
        kept = [n for n in of_type if self._has_hand[self.row_of[n]]]  # pyright: ignore[reportIndexIssue]
        self.tree.count.update(
            {"annotated": len(annotated), "of type": len(of_type), "handless": len(of_type) - len(kept)}
        )
        for n in kept:
            for camera in cameras:
                self.tree.add((folder.name, n), camera, listed[camera].get(n), absent=self._absent(camera, n))

    def _absent(self, camera: str, number: int) -> str:
        return "missing" if (number, self._camera_index[camera]) in self._images else "never published"

    def why_none(self) -> str:
        """What was expected and found, where no picture is left."""
        if not self.tree.count["annotated"] and not self.tree.unannotated:
            return (
                "expected pictures <sequence>/cam<camera>/image<frame>.jpg, found none of the sequences, cameras and "
                "frames asked for: correct --sequences, --cameras and --frame-range, or unpack the images again."
            )
        if not self.tree.count["annotated"]:
            return (
                f"expected pictures of annotated frames, found pictures of {some_frames(self.tree.unannotated)} and "
                f"annotations of {some_frames(self.row_of)}: download images and annotations of the same release and "
                "frame rate (5 or 30 a second)."
            )
        if not self.tree.count["of type"]:
            types = sorted({str(self._types[self.row_of[n]]) for n in self.row_of})
            return (
                f"expected frames of the hand type {self._hand_type}, found none of it (the capture has "
                f"{', '.join(types)}): ask for another --hand-type or other --sequences."
            )
        if self.tree.count["handless"] == self.tree.count["of type"]:
            return (
                f"expected frames with at least one valid hand, found none among {self.tree.count['of type']}: "
                "read other frames."
            )
        count = self.tree.count
        return (
            f"expected pictures that show something, found {count['black']} black and {count['unreadable']} "
            "unreadable ones: read other frames, or unpack the images again."
        )

    def problems(self) -> list[str]:
        """A sentence for each kind of thing that was left out."""
        messages = {
            "handless": "Frames without a valid hand, left out",
            "missing": "Pictures that the annotations name but that are missing",
        }
        return self.tree.skipped_summary(messages, annotation="joints")


def _capture(
    root: Path,
    split: str,
    annotations: InterHandAnnotations,
    joints: Float[np.ndarray, "F 2 21 3"],
    found: _Search,
    problems: list[str],
    trains: Callable[[list[str]], Bool[np.ndarray, " T"]] | None,
) -> Capture:
    problems = problems + found.problems()
    row_of = {name: row for row, name in enumerate(annotations.cameras.tolist())}
    intrinsics = {name: _intrinsics(annotations, row) for name, row in row_of.items()}
    path = annotation_path(root, split, "camera")
    calibrated = calibrated_images(
        root,
        found.tree,
        intrinsics=intrinsics,
        camera_of=lambda name, size, _: _camera(path, name, annotations, row_of[name], intrinsics[name], size),
        joints_of=lambda frame: joints[found.row_of[frame[1]]],
        trains=trains,
        problems=problems,
        remedy=REMEDY,
    )
    rows = [found.row_of[number] for _, number in calibrated.frames]
    mano = None
    if len(annotations.mano_pose):
        mano = ManoAnnotations(annotations.mano_pose[rows], annotations.mano_shape[rows], annotations.mano_trans[rows])
        null = np.isfinite(joints[rows]).any(axis=(2, 3)) & np.isnan(mano.pose).any(axis=-1)
        if null.any():
            problems.append(f"Hands with joints but without MANO annotation: {null.sum()}.")
    frames, images = calibrated.frame_names, calibrated.images
    object_masks = _masks_beside(root, "obj_mask", images)
    leave_out_other_sizes("Masks of the object", object_masks, sizes_on_disk(object_masks), calibrated.sizes, problems)
    check_object_masks(root / "obj_mask", object_masks, frames, calibrated.cameras)
    poses = root / POSE_FILE
    return Capture(
        root=root,
        cameras=calibrated.cameras,
        frames=frames,
        images=images,
        masks={},
        detections=None,
        problems=problems,
        stored_keypoints=joints[rows],
        mano_annotations=mano,
        sequences=[sequence for sequence, _ in calibrated.frames],
        object_masks=object_masks,
        object_poses=read_object_poses(poses, frames) if poses.exists() else None,
        fps=_frame_rate(annotations, calibrated.frames),
        true_masks=_masks_beside(root, TRUE_MASK_FOLDER, images),
    )


def _frame_rate(annotations: InterHandAnnotations, keys: list[tuple[str, int]]) -> float:
    """Frames a second of those that are read, whose usual step is that within a sequence."""
    return frame_clock(annotations.frames.tolist()) / usual_step(number for _, number in keys)


def _masks_beside(root: Path, folder: str, images: dict[tuple[str, str], Path]) -> dict[tuple[str, str], Path]:
    """The masks that lie in a folder under the names of the images."""
    if not (root / folder).is_dir():
        return {}
    beside = {
        key: (root / folder / path.relative_to(root / "images")).with_suffix(".png") for key, path in images.items()
    }
    return {key: path for key, path in beside.items() if path.exists()}


def _joints(annotations: InterHandAnnotations) -> Float[np.ndarray, "F 2 21 3"]:
    """Joints of the left and the right hand in metres; NaN where not valid."""
    points = np.where(annotations.joint_valid[..., None], annotations.world_coord.astype(np.float64) / 1000, np.nan)
    hands = {"right": points[:, :21], "left": points[:, 21:]}
    for side, hand in hands.items():
        other = HAND_TYPES.index("left" if side == "right" else "right")
        hand[~np.isfinite(hand[:, WRIST]).all(axis=-1) | (annotations.hand_type == other)] = np.nan
    return np.stack([from_interhand(hands[side], axis=1) for side in SIDES], axis=1)


def _intrinsics(annotations: InterHandAnnotations, row: int) -> Float[np.ndarray, "4 4"]:
    """K in pixels, padded."""
    intrinsics = np.diag([*annotations.focal[row], 1.0, 1.0])
    intrinsics[:2, 2] = annotations.princpt[row] + PIXEL_CENTER
    return intrinsics


def _camera(
    path: Path,
    name: str,
    annotations: InterHandAnnotations,
    row: int,
    intrinsics: Float[np.ndarray, "4 4"],
    size: tuple[int, int],
) -> CaptureCamera:
    """A camera as calibrated in a row of the annotations, with the size of its pictures."""
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = annotations.camrot[row]
    world_to_camera[:3, 3] = -annotations.camrot[row] @ annotations.campos[row] / 1000
    check_camera(path, name, intrinsics, world_to_camera)
    return CaptureCamera(name, intrinsics[:3, :3], world_to_camera, *size)


def _known(folder: Path, option: str, name: str, there: Sequence[str]) -> str:
    if name not in there:
        raise HandsError(
            f"{option}: expected one of those in {folder} ({', '.join(there) or 'there are none'}), found {name}: "
            "correct the name, or download what is missing."
        )
    return name


def _check_options(frame_range: tuple[int, int] | None, frame_stride: int, hand_type: str | None) -> None:
    if frame_range is not None and frame_range[0] > frame_range[1]:
        raise HandsError(
            f"--frame-range: expected the first and the last frame number, found {frame_range[0]} and "
            f"{frame_range[1]}: give the smaller one first."
        )
    if frame_stride < 1:
        raise HandsError(f"--frame-stride: expected a whole number from 1 on, found {frame_stride}: give a larger one.")
    if hand_type not in (None, *HAND_TYPES):
        raise HandsError(
            f"--hand-type: expected one of {', '.join(HAND_TYPES)}, found {hand_type}: correct the option."
        )


def _wrong_root(root: Path) -> str:
    found = "no such folder"
    if root.is_dir():
        found = ", ".join(sorted(entry.name for entry in root.iterdir())[:6]) or "an empty folder"
    nearby = nearby_interhand(root)
    remedy = f"point --data at {nearby}." if nearby else "unpack images and annotations of InterHand2.6M side by side."
    return (
        f"{root}: expected the folders images/ (with train/, val/ or test/) and annotations/, found {found}: {remedy}"
    )
