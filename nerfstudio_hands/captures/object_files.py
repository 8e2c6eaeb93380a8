"""What lies beside the pictures about a held object: masks of it, and a first guess of its poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfstudio_hands.calibration.checks import FARTHEST, check_rigid
from nerfstudio_hands.captures.capture import CaptureCamera
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_npz
from nerfstudio_hands.files.image_reading import read_object_mask

POSE_FILE = "object_pose.npz"


def check_object_masks(
    folder: Path, masks: dict[tuple[str, str], Path], frames: Sequence[str], cameras: Sequence[CaptureCamera]
) -> None:
    """Make sure that masks of an object show one in every frame; a capture without any is fine.

    Args:
        folder: Where they were looked for, for messages.
        masks: Mask of (frame, camera name).
        frames: Names of all frames that have pictures.
        cameras: All cameras.

    Raises:
        HandsError: Some frames have no mask, a mask cannot be read or has other values than 0 and 255, or no mask of a
            frame shows anything.
    """
    if not masks:
        return
    of_frame: dict[str, list[tuple[str, Path]]] = {}
    for (frame, name), path in masks.items():
        of_frame.setdefault(frame, []).append((name, path))
    bare = [frame for frame in frames if frame not in of_frame]
    if bare:
        raise HandsError(
            f"{folder}: expected masks of the object in every frame or in none, found none in {len(bare)} of "
            f"{len(frames)} ({_some(bare)}): add them, or read the other frames alone."
        )
    sizes = {camera.name: camera.size for camera in cameras}
    for frame in frames:
        if not any(read_object_mask(path, sizes[name]).any() for name, path in of_frame[frame]):
            raise HandsError(
                f"{of_frame[frame][0][1].parent}: expected the object in at least one mask of frame {frame}, "
                f"found {len(of_frame[frame])} empty ones: make the masks again, or remove them to go without an "
                "object."
            )


def read_object_poses(path: Path, frames: Sequence[str]) -> Float[np.ndarray, "T 4 4"]:
    """First guesses of poses, `object_to_world`: from the object's own frame to the capture's world, metres.

    One matrix [4, 4] where there is one frame, else [N, 4, 4] with the names of the frames in `frames` [N]. The origin
    of the object's frame is the object's middle.

    Args:
        path: `object_pose.npz`.
        frames: Names of the frames that are wanted, in this order.

    Raises:
        HandsError: The file is broken, a frame is missing, or a matrix is not rigid.
    """
    remedy = "write the rigid 4x4 transform from the object to the world of the cameras, in metres."
    try:
        arrays = read_npz(path)
        poses = np.asarray(arrays["object_to_world"], dtype=np.float64)
        names = [str(name) for name in np.atleast_1d(arrays["frames"])] if "frames" in arrays else list(frames)
    except (UnreadableFile, ValueError, KeyError, TypeError, OverflowError) as error:
        raise HandsError(f"{path}: expected an archive with object_to_world, found '{error}': {remedy}") from error
    poses = poses[None] if poses.ndim == 2 else poses
    if poses.shape != (len(names), 4, 4) or not np.isfinite(poses).all():
        found = f"shape {poses.shape}" if poses.shape != (len(names), 4, 4) else "NaN or infinity"
        raise HandsError(
            f"{path}: expected a finite 4x4 matrix for each of {len(names)} frames under object_to_world, found "
            f"{found}: {remedy}"
        )
    missing = [frame for frame in frames if frame not in names]
    if missing:
        raise HandsError(
            f"{path}: expected poses of all frames, found none of {_some(missing)}: add them under the names of the "
            "frames, or remove the file to start from the masks."
        )
    for name, pose in zip(names, poses, strict=True):
        check_rigid(path, f"object_to_world of frame {name}", pose, what="object-to-world", farthest=FARTHEST)
    return np.stack([poses[names.index(frame)] for frame in frames])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", .." * (len(names) > 3)
