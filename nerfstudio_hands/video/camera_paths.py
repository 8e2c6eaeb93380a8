"""Where the camera of a video stands: one of the cameras an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
        return get_path_from_json(read_json(path))
    # What nerfstudio does with numbers, lists and names in the wrong places ends in any exception.
    except Exception as error:
        if not path.exists():
            raise HandsError(f"{path}: expected a camera path, found no such file; check --camera-path.") from error
        raise HandsError(
            f"{path}: expected a camera path as the viewer's Render tab saves it, found something else "
            f"({type(error).__name__} {error}); check --camera-path."
        ) from error


def at_size(cameras: Cameras, size: int) -> Cameras:
    """The cameras with pictures whose longest side has so many pixels, both sides even."""
    width, height = int(cameras.width[0]), int(cameras.height[0])
    cameras.rescale_output_resolution(size / max(width, height))
    return cameras
