"""Ways of the camera for `ns-render interpolate` and `spiral` that stay round the hands and keep them in sight.

nerfstudio's own go straight from camera to camera, which in a rig is through what stands in its middle, and look at
something as many metres away as the focal length has pixels.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_paths import get_interpolated_camera_path, get_spiral_path
from nerfstudio.cameras.camera_utils import get_ordered_poses_and_k, viewmatrix
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from torch import Tensor


def path_around(center: Float[Tensor, "3"], cameras: Cameras, steps: int, order_poses: bool) -> Cameras:
    """A way from camera to camera: they turn evenly, and where they see the center goes straight from place to place.

    Args:
        center: Of the hands, in nerfstudio's world.
        cameras: Where the way passes.
        steps: Cameras from one of these to the next, both among them.
        order_poses: Go to the nearest camera next, instead of in the order given.
    """
    poses, intrinsics = cameras.camera_to_worlds, cameras.get_intrinsics_matrices()
    if order_poses:
        poses, intrinsics = get_ordered_poses_and_k(poses, intrinsics)
    center = center.to(poses)
    rotations = poses[:, :, :3]
    seen = rotations.mT @ (center - poses[:, :, 3])[..., None]
    # nerfstudio moves the last column straight from camera to camera.
    path = get_interpolated_camera_path(
        Cameras(
            torch.cat([rotations, seen], dim=-1), intrinsics[:, 0, 0], intrinsics[:, 1, 1], intrinsics[:, 0, 2],
            intrinsics[:, 1, 2], camera_type=cameras.camera_type,
        ),
        steps,
        order_poses=False,
    )  # fmt: skip
    rotations, seen = path.camera_to_worlds.to(poses).split([3, 1], dim=-1)
    path.camera_to_worlds = torch.cat([rotations, center[:, None] - rotations @ seen], dim=-1)
    return path


def facing_spiral(center: Float[Tensor, "3"], camera: Cameras, **options: Any) -> Cameras:
    """nerfstudio's spiral round a camera, from which every camera looks at the center.

    Args:
        center: Of the hands, in nerfstudio's world.
        camera: Where the spiral is, one camera.
        options: As `get_spiral_path` has them.
    """
    path = get_spiral_path(camera, **options)
    up = camera.camera_to_worlds[0, :, 1]
    positions = path.camera_to_worlds[:, :, 3]
    path.camera_to_worlds = torch.stack([viewmatrix(eye - center.to(eye), up, eye) for eye in positions])
    return path


def patch_render_paths(pipeline: VanillaPipeline) -> None:
    """Has `ns-render`, if it is what runs, go round the hands of a pipeline; a second call puts others in their
    place."""
    render: Any = sys.modules.get("nerfstudio.scripts.render")
    if render is not None:
        center = pipeline.model.scene_box.aabb.mean(dim=0)
        render.get_interpolated_camera_path = partial(path_around, center)
        render.get_spiral_path = partial(facing_spiral, center)
