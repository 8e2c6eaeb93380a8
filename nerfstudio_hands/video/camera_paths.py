"""Where the camera of a video stands: one of the cameras an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import SCENE_MARGIN
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import read_json
from nerfstudio_hands.video.orbit import orbit_cameras

CAMERA_TYPES = ("perspective", "fisheye", "equirectangular", "omnidirectional", "vr180")
"""Types of cameras that nerfstudio reads from a camera path."""
FOCAL_LENGTHS = (0.004, 600.0)
"""Of pictures of height 1: fields of view of 179.5 and of 0.1 degrees."""
MAX_SKEW = 0.01
"""Largest scalar product of two axes of a camera."""
SPIRAL_START, SPIRAL_RISE = -10.0, 60.0
"""Elevation in degrees at which the spiral begins, and by how much it climbs."""


def still_path(cameras: Sequence[Cameras], names: Sequence[str], name: str | None, count: int) -> Cameras:
    """A camera of the capture that stands still, without the frames of its pictures.

    Args:
        cameras: Rows of training and evaluation, with `camera_index` in their metadata.
        names: Name of each camera of the capture.
        name: Which one; by default that of the first row.
        count: Pictures.

    Raises:
        HandsError: No row is of a camera of this name.
    """
    rows = {}
    for part in cameras:
        for row, index in enumerate(part.metadata["camera_index"].flatten().tolist()):
            rows.setdefault(names[index], part[row : row + 1])
    if name is not None and name not in rows:
        raise HandsError(
            f"--camera: expected one of {', '.join(sorted(rows))}, found {name!r}: give a camera that has pictures."
        )
    row = next(iter(rows.values())) if name is None else rows[name]
    still = Cameras(row.camera_to_worlds, row.fx, row.fy, row.cx, row.cy, row.width, row.height)
    return still[torch.zeros(count, dtype=torch.long)]


def spiral_path(points: Float[Tensor, "N 3"], count: int) -> Cameras:
    """Cameras that circle once round points of posed hands and rise; nerfstudio's world, metres."""
    points = points.cpu()
    box = torch.stack([points.amin(dim=0) - SCENE_MARGIN, points.amax(dim=0) + SCENE_MARGIN])
    return orbit_cameras(
        SceneBox(box), num_cameras=count, width=640, height=480, elevation=SPIRAL_START, rise=SPIRAL_RISE
    )


def read_camera_path(path: Path) -> Cameras:
    """The cameras of a camera path file, as the viewer's Render tab writes it; `times` is its `render_time`, or None.

    Raises:
        HandsError: It is no such file.
    """
    try:
        cameras = get_path_from_json(_known_type(read_json(path)))
        if int(cameras.width.min()) < 1 or int(cameras.height.min()) < 1:
            raise ValueError("pictures without pixels")
        if not _are_placed(cameras.camera_to_worlds.double()):
            raise ValueError("camera_to_world of a camera that is no rotation and place")
        lengths = cameras.fx / cameras.height
        if not bool(((FOCAL_LENGTHS[0] < lengths) & (lengths < FOCAL_LENGTHS[1])).all()):
            raise ValueError("fields of view that are not between 0.1 and 179 degrees")
        if cameras.times is not None and not bool(((cameras.times >= 0) & (cameras.times <= 1)).all()):
            raise ValueError("render_time that is not between 0 and 1")
        return cameras
    # What nerfstudio does with numbers, lists and names in the wrong places ends in any exception.
    except Exception as error:
        if not path.exists():
            raise HandsError(f"{path}: expected a camera path, found no such file; check --camera-path.") from error
        raise HandsError(
            f"{path}: expected a camera path as the viewer's Render tab saves it, found something else "
            f"({type(error).__name__} {error}); check --camera-path."
        ) from error


def _known_type(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a camera path, whose type is one that nerfstudio has; it takes any other for a perspective."""
    kind = str(content.get("camera_type", "perspective")).lower()
    if kind not in CAMERA_TYPES:
        raise ValueError(f"cameras of the type {kind[:20]!r} instead of {', '.join(CAMERA_TYPES)}")
    return content


def _are_placed(poses: Float[Tensor, "N 3 4"]) -> bool:
    """Whether each turns without a reflection, in whatever unit, and stands somewhere."""
    axes = torch.nn.functional.normalize(poses[:, :, :3], dim=1)
    # A comparison with NaN is false, so that it fails here, too.
    upright = (axes.mT @ axes - torch.eye(3).double()).abs().amax() < MAX_SKEW
    return bool(upright) and bool((torch.linalg.det(axes) > 0).all()) and bool(poses.isfinite().all())


def at_size(cameras: Cameras, size: int) -> Cameras:
    """The cameras with pictures whose longest side has so many pixels, both sides even."""
    width, height = int(cameras.width[0]), int(cameras.height[0])
    if size * min(width, height) < 2 * max(width, height):
        raise HandsError(
            f"--size: expected pictures of two rows and columns at least, found cameras of {width}x{height} drawn at "
            f"{size}: give a larger one, or a camera path of another shape."
        )
    cameras.rescale_output_resolution(size / max(width, height))
    return cameras
