"""Reader of the published DeepHandMesh data set (Moon, Shiratori and Lee, ECCV 2020); see `read_deephandmesh`.

No real file was at hand. The layout is that of the README and the download scripts of github.com/facebookresearch/
DeepHandMesh; the form of `KRT_512` and of the keypoint files, the colour cameras, the joints of either hand and the
marks RT and LT are those of its data loader. Millimetres follow from its template, which it scales from centimetres
before it compares it with the joints. Not verified, and decided here:

- The centre of the upper left pixel is (0, 0) in `KRT_512`: the loader takes projected joints for indices into pictures
  of 334x512, as that of InterHand2.6M does. Pictures of another size scale the calibration, as the loader's do.
- Pictures are undistorted: the loader does not use the line of distortion. Where it is not zero, that is said.
- A left hand's joints come in the order of the right hand's; the loader reads right hands only.
- Sequences of ranges of motion (ROM), which the loader leaves out of training, are read where they have keypoints.

No masks are published. Depth maps (`depthmaps/<subject>/<frame>/depthmap<camera>.pkl`, pickles, zero beside the hand),
scans (`3D_scans_decimated/<subject>/<frame>.ply`, millimetres as other public code uses them) and the hand model
(`hand_model/`, centimetres) are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.progress import track

from nerfstudio_hands.calibration.checks import check_camera
from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.image_tree import (
    MANY_FOLDERS,
    ImageTree,
    calibrated_images,
    folders_in,
    listed_images,
    some_frames,
)
from nerfstudio_hands.captures.joint_checks import of_no_hand
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_text
from nerfstudio_hands.hand_model.joints import SIDES, split_interhand
from nerfstudio_hands.transforms.projection import PIXEL_CENTER

CALIBRATED_SIZE = (334, 512)
"""Width and height in pixels of the pictures that `KRT_512` belongs to."""

ASPECT_TOLERANCE = 0.01
"""Share by which the aspect ratio may differ from that size; 2668x4096, of which it is an eighth, differs by 0.0015."""

COLOR_PREFIX = "40"
"""Names of the colour cameras begin with this."""

HIDDEN_SIDES = {"RT": "left", "LT": "right"}
"""Words in the name of a sequence, as in `ROM03_RT_No_Occlusion`, and the hand that it does not show."""

CAMERA_LINES = 9
"""Lines of a camera in `KRT_512`: its name, K (3), distortion (1), world to camera (3), an empty one."""

REMEDY = "download and unpack the annotations of DeepHandMesh again."


@dataclass(frozen=True)
class _Place:
    """What of the data set a path means: a subject (None for the one with keypoints), one sequence or all."""

    base: Path
    subject: str | None
    sequence: str | None


@dataclass(frozen=True)
class _Calibration:
    """A camera of `KRT_512`: K in pixels of 334x512, world in metres to OpenCV axes."""

    intrinsics: Float[np.ndarray, "3 3"]
    world_to_camera: Float[np.ndarray, "4 4"]
    distorted: bool


@dataclass
class _Found:
    """Images of frames with joints, and what was left out.

    Attributes:
        tree: The images.
        joints: Joints of their frames, metres.
        broken: Keypoint files that cannot be read, and why.
    """

    tree: ImageTree = field(default_factory=ImageTree)
    joints: dict[tuple[str, int], Float[np.ndarray, "2 21 3"]] = field(default_factory=dict)
    broken: dict[Path, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """A sentence for each kind of thing that was left out."""
        messages = {
            "handless": "Frames without joints of a hand that their sequence shows, left out",
            "missing": "Pictures that are missing, while other cameras have the same frame",
        }
        sentences = self.tree.skipped_summary(messages, annotation="keypoints")
        if self.broken:
            path, why = next(iter(self.broken.items()))
            sentences.append(
                f"Keypoint files that cannot be read, left out with their frames: {len(self.broken)} ({path}: '{why}')."
            )
        return sentences


def is_deephandmesh(root: Path) -> bool:
    """Whether a folder is the data set, the pictures of one of its subjects, or one of its sequences."""
    return _place(root) is not None


def read_deephandmesh(root: Path, *, trains: Callable[[list[str]], Bool[np.ndarray, " T"]] | None = None) -> Capture:
    """Reads a subject of DeepHandMesh, or one of its sequences; a frame is named `<sequence>/<frame number>`.

    Layout: `images/subject_<n>/<sequence>/cam<camera>/image<frame>.jpg`, `annotations/KRT_512` and
    `annotations/keypoints/subject_<n>/keypoints<frame>.pts`. `KRT_512` has nine lines a camera: name, K (3x3),
    distortion, world to camera (3x4, `X_cam = R X + t`), an empty line. A keypoint file has a line a joint: index, x,
    y, z in the world, score, number of views; 0-20 is the right hand, 21-41 the left one, each finger from its tip
    inwards, thumb first, the wrist last. Lengths are millimetres. Joints become `stored_keypoints`; of sequences with
    the word RT or LT in their names only those of the right or the left hand. Only colour cameras are read. What is
    missing, black or broken is left out and counted in `problems`.

    Args:
        root: Folder with `images/` and `annotations/`: the subject that has keypoints (the published ones are of
            subject 4). Or `images/subject_<n>`, or a sequence in that folder.
        trains: Which frames may say how a calibration is to be read, told from the sequence of each; by default all.

    Raises:
        HandsError: A folder or file is not there, the calibration is broken, or no frame is left.
    """
    root = Path(root)
    place = _place(root)
    if place is None:
        raise HandsError(_wrong_root(root))
    calibrations = _read_krt(place.base / "annotations" / "KRT_512")
    subject = _subject(place)
    keypoints = _keypoint_files(place.base / "annotations" / "keypoints" / subject)
    folder = place.base / "images" / subject
    sequences = [place.sequence] if place.sequence else folders_in(folder)

    problems: list[str] = []
    cameras = _cameras(folder, sequences, calibrations, problems)
    found = _find(folder, sequences, cameras, keypoints)
    problems += found.problems()
    if not found.tree.paths:
        raise HandsError(
            f"{folder}: expected pictures <sequence>/cam<camera>/image<frame>.jpg of frames with keypoints "
            f"({some_frames(sorted(keypoints))}), found none: {' '.join(problems) or 'no pictures at all.'} Download "
            "images and keypoints of the same subject."
        )
    return _capture(root, calibrations, found, problems, trains)


def _place(root: Path) -> _Place | None:
    root = root.absolute()
    for base in (root, *root.parents)[:4]:
        if (base / "annotations").is_dir() and any((base / "images").glob("subject_*")):
            kind, subject, sequence = (*root.relative_to(base).parts, None, None, None)[:3]
            whole = kind is None or (kind == "images" and subject is not None)
            return _Place(base, subject, sequence) if whole and root.is_dir() else None
    return None


def _wrong_root(root: Path) -> str:
    found = "no such folder"
    if root.is_dir():
        found = ", ".join(sorted(entry.name for entry in root.iterdir())[:6]) or "an empty folder"
    return (
        f"{root}: expected the folders images/ (with subject_<n>/) and annotations/, or a subject or sequence in "
        f"images/, found {found}: unpack images and annotations of DeepHandMesh side by side."
    )


def _subject(place: _Place) -> str:
    """The subject that was asked for, or the only one with pictures and keypoints."""
    named = place.base / "annotations" / "keypoints"
    with_keypoints = folders_in(named, "subject_") if named.is_dir() else []
    subjects = (
        [place.subject] if place.subject else [f"subject_{n}" for n in folders_in(place.base / "images", "subject_")]
    )
    there = [name for name in subjects if name.removeprefix("subject_") in with_keypoints]
    if not there:
        raise HandsError(
            f"{named}: expected keypoints of {' or '.join(subjects)}, whose pictures are there, found those of "
            f"{', '.join(f'subject_{n}' for n in with_keypoints) or 'nobody'}: download keypoints and images of the "
            "same subject (only subject 4's keypoints are published)."
        )
    if len(there) > 1:
        raise HandsError(
            f"{place.base / 'images'}: expected one subject with keypoints, found {', '.join(there)}: point --data at "
            f"one of them, as {place.base / 'images' / there[0]}."
        )
    return there[0]


def _read_krt(path: Path) -> dict[str, _Calibration]:
    try:
        lines = read_text(path).rstrip().splitlines()
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected the cameras of the data set as text, found '{error}': {REMEDY}") from error
    cameras = {}
    for start in range(0, len(lines), CAMERA_LINES):
        name, *numbers = lines[start : start + CAMERA_LINES]
        try:
            rows = [[float(word) for word in line.split()] for line in numbers]
            intrinsics = np.array(rows[:3], dtype=np.float64).reshape(3, 3)
            extrinsics = np.array(rows[4:7], dtype=np.float64).reshape(3, 4)
            distorted = any(rows[3])
        except (ValueError, IndexError) as error:
            raise HandsError(
                f"{path}: expected nine lines a camera (name, 3x3 numbers of K, distortion, 3x4 numbers of world to "
                f"camera, an empty one), found '{error}' in the lines of '{name.strip()}' from {start + 1} on: {REMEDY}"
            ) from error
        cameras[name.strip()] = _calibration(path, name.strip(), intrinsics, extrinsics, distorted)
    return cameras


def _calibration(
    path: Path, name: str, k: Float[np.ndarray, "3 3"], extrinsics: Float[np.ndarray, "3 4"], distorted: bool
) -> _Calibration:
    intrinsics, world_to_camera = np.eye(4), np.eye(4)
    intrinsics[[0, 1], [0, 1]] = k[0, 0], k[1, 1]
    intrinsics[:2, 2] = k[:2, 2] + PIXEL_CENTER
    world_to_camera[:3] = extrinsics
    world_to_camera[:3, 3] /= 1000
    check_camera(path, name, intrinsics, world_to_camera)
    return _Calibration(intrinsics[:3, :3], world_to_camera, distorted)


def _keypoint_files(folder: Path) -> dict[int, Path]:
    """Files keypoints<frame>.pts by frame number."""
    numbers = {path: path.stem.removeprefix("keypoints") for path in sorted(folder.glob("keypoints*.pts"))}
    files = {int(number): path for path, number in numbers.items() if number.isdecimal()}
    if not files:
        raise HandsError(f"{folder}: expected files keypoints<frame>.pts, found none: {REMEDY}")
    return files


def _read_keypoints(path: Path) -> Float[np.ndarray, "2 21 3"]:
    """Joints of the left and the right hand in metres; NaN where absent.

    Raises:
        ValueError: The file cannot be read or has another form.
    """
    joints = np.full((42, 3), np.nan)
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            values = [float(word) for word in line.split()]
            if len(values) != 6 or values[0] not in range(42):
                raise ValueError(f"line {number} is no joint 0 to 41 with 5 numbers")
            joints[int(values[0])] = values[1:4]
    joints[~np.isfinite(joints).all(axis=-1)] = np.nan
    hands = split_interhand(torch.from_numpy(joints / 1000)).numpy()
    if of_no_hand(hands).any():
        raise ValueError("joints of no hand's size or place, in millimetres")
    return hands


def _cameras(
    folder: Path, sequences: Sequence[str], calibrations: dict[str, _Calibration], problems: list[str]
) -> dict[str, list[str]]:
    """Calibrated colour cameras of each sequence."""
    there = {
        sequence: [name for name in folders_in(folder / sequence, "cam") if name.startswith(COLOR_PREFIX)]
        for sequence in sequences
    }
    names = {name for cameras in there.values() for name in cameras}
    color = {name for name in calibrations if name.startswith(COLOR_PREFIX)}
    for text, some in (
        ("Cameras without calibration, left out", names - color),
        ("Calibrated colour cameras without pictures", color - names),
        ("Lens distortion is given but not used for cameras", {n for n in names & color if calibrations[n].distorted}),
    ):
        if some:
            problems.append(f"{text}: {', '.join(sorted(some))}.")
    return {sequence: [name for name in cameras if name in color] for sequence, cameras in there.items()}


def _find(folder: Path, sequences: Sequence[str], cameras: dict[str, list[str]], keypoints: dict[int, Path]) -> _Found:
    found = _Found()
    few = sum(map(len, cameras.values())) < MANY_FOLDERS
    for sequence in track(sequences, description="Looking for pictures", transient=True, disable=few):
        listed = {name: listed_images(folder / sequence / f"cam{name}") for name in cameras[sequence]}
        hidden = [SIDES.index(side) for mark, side in HIDDEN_SIDES.items() if mark in sequence.split("_")]
        for number in sorted(set().union(*listed.values())):
            if number not in keypoints:
                found.tree.unannotated.append(number)
                continue
            try:
                joints = _read_keypoints(keypoints[number])
            except ValueError as error:
                found.broken[keypoints[number]] = str(error)
                continue
            joints[hidden] = np.nan
            if not np.isfinite(joints).any():
                found.tree.count["handless"] += 1
                continue
            found.joints[sequence, number] = joints
            for name, entries in listed.items():
                found.tree.add((sequence, number), name, entries.get(number))
    return found


def _capture(
    root: Path,
    calibrations: dict[str, _Calibration],
    found: _Found,
    problems: list[str],
    trains: Callable[[list[str]], Bool[np.ndarray, " T"]] | None,
) -> Capture:
    def camera_of(name: str, size: tuple[int, int], usual: tuple[int, int]) -> CaptureCamera:
        calibration = calibrations[name]
        return CaptureCamera(name, _scale(root, usual) @ calibration.intrinsics, calibration.world_to_camera, *size)

    calibrated = calibrated_images(
        root,
        found.tree,
        intrinsics={name: calibration.intrinsics for name, calibration in calibrations.items()},
        camera_of=camera_of,
        joints_of=found.joints.__getitem__,
        trains=trains,
        problems=problems,
        remedy=REMEDY,
    )
    return Capture(
        root=root,
        cameras=calibrated.cameras,
        frames=calibrated.frame_names,
        images=calibrated.images,
        masks={},
        detections=None,
        problems=problems,
        stored_keypoints=np.stack([found.joints[frame] for frame in calibrated.frames]),
        sequences=[sequence for sequence, _ in calibrated.frames],
    )


def _scale(root: Path, size: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """From K of `KRT_512` to that of images of this size."""
    scale = np.array([*size, 1]) / [*CALIBRATED_SIZE, 1]
    if abs(scale[0] / scale[1] - 1) > ASPECT_TOLERANCE:
        raise HandsError(
            f"{root}: expected pictures of {CALIBRATED_SIZE[0]}x{CALIBRATED_SIZE[1]} pixels or a multiple of it, found "
            f"{size[0]}x{size[1]}: unpack the published pictures again, neither cropped nor turned."
        )
    return np.diag(scale)
