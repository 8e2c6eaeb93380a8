"""Reader of the capture-room format (the rig format of FMHR); see `read_capture_room` for the layout."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from nerfstudio_hands.calibration.formats.param_npz import RoomCalibration, read_room_calibration
from nerfstudio_hands.captures.capture import Capture, CaptureCamera
from nerfstudio_hands.captures.image_sizes import leave_out_other_sizes, sizes_on_disk, usual_sizes
from nerfstudio_hands.captures.joint_checks import of_no_hand
from nerfstudio_hands.captures.object_files import POSE_FILE, check_object_masks, read_object_poses
from nerfstudio_hands.captures.pose_json import read_poses
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import read_text
from nerfstudio_hands.files.image_reading import has_alpha, read_mask

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

ON_HAND = 0.25
"""Share of the landmarks, of which most lie on a hand, and of the picture, of which a hand is a small part."""


def is_capture_room(root: Path) -> bool:
    """Whether a folder is a scan in this format or holds scans."""
    return bool(_scan_folders(root))


def read_capture_room(root: Path) -> Capture:
    """Read one scan, or all scans below a folder as frames that share their cameras.

    Layout of a scan: `img/NN.png`, `mask/NN.png`, `pose/NN.json`, `camera/param.npz` with `int_i` (K), `ext_i` (world
    to camera), `world_mat_i` (their product) and `scale_mat_i` (normalised cube to world), `keypoints_3d_<scan>.xyz`
    (42x3 in the cube, left then right). Detections are `{"Left": 63 floats or [], "Right": ...}`, (x, y, z) of 21
    landmarks with x, y in [-1, 1]: pixel = (x + 1) / 2 * width; z has no use; see `read_poses` for others. Masks come
    in several forms, see `read_mask`; a picture with an alpha channel needs none. Whether hands are white or black in
    them is judged by the detections. Of what the hand holds, every scan may have masks `obj_mask/NN.png` (255 where it
    is seen, else 0) and a first guess of its pose, `object_pose.npz` (see `read_object_poses`); `mask` then shows what
    is seen of the hand. A calibrated camera may lack any of its files: that is said in `problems`. The size of a camera
    is that most common among its pictures, else among its masks, else the size most common among the other cameras; a
    file of another size is left out, which is said too. Pictures are left to `read_image` and `read_mask`; headers and
    sizes are checked here.

    Args:
        root: The scan (it contains `img/` and `camera/`) or a folder with scans directly in it.

    Raises:
        HandsError: The folder or a file in it does not follow the format; the sentence says which, and what to do.
    """
    root = Path(root)
    if not root.is_dir():
        raise HandsError(
            f"{root}: expected a folder with a capture, found no such folder: check the path given as --data."
        )
    scans = _scan_folders(root)
    if not scans:
        found = ", ".join(sorted(entry.name for entry in root.iterdir())[:6]) or "an empty folder"
        raise HandsError(
            f"{root}: expected a capture-room scan (folders img/ and camera/ with camera/param.npz) or a folder of "
            f"them, found {found}: point to the folder above img/, or name the dataparser of your format."
        )
    problems = [
        f"{folder}: has pictures but no camera/param.npz and was left out."
        for folder in _subfolders(root)
        if (folder / "img").is_dir() and folder not in scans and root not in scans
    ]
    calibrations = [read_room_calibration(scan / "camera" / "param.npz") for scan in scans]
    shared = _share(calibrations)
    names = sorted(shared.intrinsics)
    frames = [scan.name if scan != root else root.resolve().name for scan in scans]

    images, masks, object_masks = {}, {}, {}
    for frame, scan in zip(frames, scans, strict=True):
        for kind, table in (("img", images), ("mask", masks), ("obj_mask", object_masks)):
            found = _files_by_camera(scan / kind, IMAGE_SUFFIXES, names, problems)
            table.update({(frame, name): path for name, path in found.items()})
    if not images:
        raise HandsError(
            f"{scans[0] / 'img'}: expected pictures NN.png of the calibrated cameras {names[0]} to {names[-1]}, found "
            "none: name the pictures after the index of their camera in camera/param.npz."
        )
    sizes = _sizes(shared, images, masks, object_masks, problems)
    masks |= {key: path for key, path in images.items() if key not in masks and has_alpha(path)}
    cameras = _cameras(shared, names, sizes, problems)
    check_object_masks(root, object_masks, frames, cameras)

    poses: dict[tuple[int, int], Path] = {}
    for t, (frame, scan) in enumerate(zip(frames, scans, strict=True)):
        found = _files_by_camera(scan / "pose", (".json",), names, problems)
        poses.update({(t, names.index(name)): path for name, path in found.items()})
        problems += _missing(
            scan, names, {n for f, n in images if f == frame}, {n for f, n in masks if f == frame}, set(found)
        )
    detections = _detections(poses, len(frames), cameras, problems)

    inverted = _inverted_masks(masks, cameras, detections, frames)
    if inverted:
        problems.append(f"{len(inverted)} of {len(masks)} masks show hands black on white; they were read so.")
    stored = [_read_stored_keypoints(scan, c, problems) for scan, c in zip(scans, calibrations, strict=True)]
    has_stored = any(keypoints is not None for keypoints in stored)
    absent = np.full((2, 21, 3), np.nan)
    return Capture(
        root=root,
        cameras=cameras,
        frames=frames,
        images=images,
        masks=masks,
        detections=detections,
        problems=problems,
        stored_keypoints=np.stack([absent if k is None else k for k in stored]) if has_stored else None,
        object_masks=object_masks,
        object_poses=_object_poses(scans, frames),
        masks_inverted=inverted,
    )


def _object_poses(scans: list[Path], frames: list[str]) -> Float[np.ndarray, "T 4 4"] | None:
    paths = [scan / POSE_FILE for scan in scans]
    if not any(path.exists() for path in paths):
        return None
    return np.concatenate([read_object_poses(path, [frame]) for path, frame in zip(paths, frames, strict=True)])


def _subfolders(root: Path) -> list[Path]:
    """Folders in `root`, 2 before 10."""
    folders = [entry for entry in root.iterdir() if entry.is_dir()] if root.is_dir() else []
    return sorted(
        folders, key=lambda f: [(not part.isdigit(), part.zfill(12)) for part in re.split(r"(\d+)", f.name) if part]
    )


def _scan_folders(root: Path) -> list[Path]:
    """`root` itself if it looks like a scan, else the scans directly in it."""
    if (root / "img").is_dir() and (root / "camera").is_dir():
        return [root]
    return [folder for folder in _subfolders(root) if (folder / "img").is_dir() and (folder / "camera").is_dir()]


def _share(calibrations: list[RoomCalibration]) -> RoomCalibration:
    """One calibration for all scans: each camera as the scans that know it agree on."""
    first = calibrations[0]
    intrinsics, world_to_camera = dict(first.intrinsics), dict(first.world_to_camera)
    for other in calibrations[1:]:
        for name in other.intrinsics:
            known = name in intrinsics
            if known and not (
                np.allclose(intrinsics[name], other.intrinsics[name], rtol=1e-5, atol=1e-2)
                and np.allclose(world_to_camera[name], other.world_to_camera[name], rtol=0, atol=1e-5)
            ):
                raise HandsError(
                    f"{other.path}: expected camera {name} calibrated as in the scan of {first.path}, found other "
                    "numbers: scans below one folder are frames of one rig, so give each scan as --data of its own."
                )
            if not known:
                intrinsics[name], world_to_camera[name] = other.intrinsics[name], other.world_to_camera[name]
    return RoomCalibration(first.path, intrinsics, world_to_camera, None)


def _files_by_camera(folder: Path, suffixes: tuple[str, ...], names: list[str], problems: list[str]) -> dict[str, Path]:
    """Files of a folder by camera name; what belongs to no calibrated camera becomes a sentence in `problems`."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        name = f"{int(path.stem):02d}" if path.stem.isdecimal() else path.stem
        if name not in names:
            problems.append(f"{path}: belongs to no camera in camera/param.npz and was left out.")
        elif name in files:
            problems.append(f"{path}: is a second file of camera {name} beside {files[name].name} and was left out.")
        else:
            files[name] = path
    return files


def _sizes(
    calibration: RoomCalibration,
    images: dict[tuple[str, str], Path],
    masks: dict[tuple[str, str], Path],
    object_masks: dict[tuple[str, str], Path],
    problems: list[str],
) -> dict[str, tuple[int, int]]:
    """Width and height of the pictures of each camera with files; files of another size are taken out."""
    tables = {"Pictures": images, "Masks": masks, "Masks of the object": object_masks}
    found = {kind: sizes_on_disk(files) for kind, files in tables.items()}
    sizes: dict[str, tuple[int, int]] = {}
    for kind, files in tables.items():
        sizes = usual_sizes(found[kind], calibration.intrinsics) | sizes
        leave_out_other_sizes(kind, files, found[kind], sizes, problems)
    return sizes


def _cameras(
    calibration: RoomCalibration, names: list[str], sizes: dict[str, tuple[int, int]], problems: list[str]
) -> list[CaptureCamera]:
    usual = Counter(sizes.values()).most_common(1)[0][0]
    cameras = []
    for name in names:
        width, height = sizes.get(name, usual)
        intrinsics = calibration.intrinsics[name]
        if not (0 <= intrinsics[0, 2] <= width and 0 <= intrinsics[1, 2] <= height):
            problems.append(
                f"{calibration.path}: the principal point ({intrinsics[0, 2]:.0f}, {intrinsics[1, 2]:.0f}) of "
                f"camera {name} lies outside of its {width}x{height} picture, which may be scaled or cropped."
            )
        cameras.append(CaptureCamera(name, intrinsics, calibration.world_to_camera[name], width, height))
    return cameras


def _detections(
    poses: dict[tuple[int, int], Path], frames: int, cameras: list[CaptureCamera], problems: list[str]
) -> Float[np.ndarray, "T C 2 21 2"]:
    """Landmarks in pixels from the file of each (frame, camera)."""
    detections = np.full((frames, len(cameras), 2, 21, 2), np.nan)
    pixels, odd = read_poses(list(poses.values()), [cameras[index].size for _, index in poses])
    for key, hands in zip(poses, pixels, strict=True):
        detections[key] = hands
    problems += odd
    return detections


def _inverted_masks(
    masks: dict[tuple[str, str], Path],
    cameras: list[CaptureCamera],
    detections: Float[np.ndarray, "T C 2 21 2"],
    frames: list[str],
) -> set[tuple[str, str]]:
    """The masks (frame, camera) that are black on white. Each is judged by itself, because one of a camera that will be
    held out must not change how another is read."""
    of_camera = {camera.name: (index, camera.size) for index, camera in enumerate(cameras)}
    inverted = set()
    for frame, name in masks:
        index, size = of_camera[name]
        points = detections[frames.index(frame), index].reshape(-1, 2)
        points = points[np.isfinite(points).all(axis=-1)]
        points = points[((points >= 0) & (points < size)).all(axis=-1)].astype(int)
        if _is_inverted(read_mask(masks[frame, name], size), points):
            inverted.add((frame, name))
    return inverted


def _is_inverted(mask: Bool[np.ndarray, "H W"], landmarks: Int[np.ndarray, "N 2"]) -> bool:
    """Whether a mask leaves the detected hands out and shows most of what is around them. Where no hand was detected,
    most of the picture shows none; one that is white all over tells nothing."""
    on_hand = mask[landmarks[:, 1], landmarks[:, 0]].mean() if len(landmarks) else 0.0
    return bool(on_hand < ON_HAND and 1 - ON_HAND < mask.mean() < 1)


def _read_stored_keypoints(
    scan: Path, calibration: RoomCalibration, problems: list[str]
) -> Float[np.ndarray, "2 21 3"] | None:
    """Joints of the optional .xyz in world metres; it is recomputed anyway, so a broken one is only reported."""
    path = next(iter(sorted(scan.glob("keypoints_3d_*.xyz"))), None)
    if path is None:
        return None
    try:
        points = np.loadtxt(read_text(path).splitlines(), ndmin=2)
    except ValueError as error:
        problems.append(f"{path}: expected 42 rows of three numbers, found '{error}'; it was left out.")
        return None
    if points.shape != (42, 3) or calibration.scale is None:
        found = f"shape {points.shape}" if points.shape != (42, 3) else "no scale_mat_i in camera/param.npz"
        problems.append(
            f"{path}: expected 42x3 numbers and a scale_mat_i to place them, found {found}; it was left out."
        )
        return None
    joints = (points @ calibration.scale[:3, :3].T + calibration.scale[:3, 3]).reshape(2, 21, 3)
    if of_no_hand(joints).any():
        problems.append(f"{path}: expected joints of hands, found some of no hand's size or place; it was left out.")
        return None
    return joints


def _missing(scan: Path, names: list[str], images: set[str], masks: set[str], detections: set[str]) -> list[str]:
    """Sentences that say which cameras of a scan lack which files."""
    bare = [name for name in names if name not in images | masks | detections]
    sentences = [f"{scan}: calibrated cameras without any file: {', '.join(bare)}."] if bare else []
    for kind, present in (("image", images), ("mask", masks), ("detections", detections)):
        lacking = [name for name in names if name not in present and name not in bare]
        if lacking:
            sentences.append(f"{scan}: cameras without {kind}: {', '.join(lacking)}.")
    return sentences
