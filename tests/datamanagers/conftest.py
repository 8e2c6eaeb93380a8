"""A made-up capture without masks: a right hand that turns, before a wall, in small pictures on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_up_avatar import made_up_avatar
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from PIL import Image

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.dataparsers.image_masks import ImageMasks
from nerfstudio_hands.geometry import Surfaces, rasterize
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand

WIDTH, HEIGHT, FOCAL, DISTANCE = 96, 112, 200.0, 0.5


def avatar_of(frames: int) -> AvatarData:
    """A right hand with its wrist near the origin, turned a little further in each frame."""
    surface = HandSurface((default_hand("right"),))
    pose = HandPose.rest(1, (frames,))
    pose.global_orient[:, 0, 1] = torch.linspace(0, 1, frames)
    middle = surface.pose(pose, torch.zeros(surface.hands[0].num_shape)).vertices.mean(dim=1)
    pose.translation[:, 0] -= middle
    return made_up_avatar(surface, pose, frame_names=[str(frame) for frame in range(frames)], camera_names=["a", "b"])


def look_from(camera: int) -> torch.Tensor:
    """World to camera, OpenCV axes: two cameras `DISTANCE` from the origin, a right angle apart."""
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    if camera:
        turn = turn @ torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[2, 3] = turn, DISTANCE
    return matrix


@pytest.fixture
def moving_hand(tmp_path: Path) -> Callable[..., DataparserOutputs]:
    """Makes the capture: `frames` poses seen by two cameras, a row each; colour says where a pixel lies."""

    def make(frames: int = 3) -> DataparserOutputs:
        avatar = avatar_of(frames)
        intrinsics = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
        noise = np.random.default_rng(0)
        paths, poses = [], []
        for frame in range(frames):
            surfaces = Surfaces(
                avatar.all_hands.faces,
                avatar.all_vertices([frame]),
                closing_faces=avatar.all_hands.closing_faces,
            )
            for camera in range(2):
                seen = rasterize(surfaces, intrinsics, look_from(camera), WIDTH, HEIGHT).face.numpy() >= 0
                image = noise.integers(0, 30, (HEIGHT, WIDTH, 3)) + np.array([20, 60, 40])
                image[seen] = noise.integers(0, 30, (int(seen.sum()), 3)) + np.array([200, 140, 110])
                paths.append(tmp_path / "pictures" / f"{frame}-{camera}.png")
                paths[-1].parent.mkdir(exist_ok=True)
                Image.fromarray(image.astype(np.uint8)).save(paths[-1])
                camera_to_world = torch.linalg.inv(look_from(camera))
                camera_to_world[:, 1:3] *= -1
                poses.append(camera_to_world[:3])
        rows = len(paths)
        indices = torch.arange(rows)[:, None]
        return DataparserOutputs(
            image_filenames=paths,
            cameras=Cameras(
                camera_to_worlds=torch.stack(poses),
                fx=torch.full((rows,), FOCAL),
                fy=torch.full((rows,), FOCAL),
                cx=torch.full((rows,), WIDTH / 2),
                cy=torch.full((rows,), HEIGHT / 2),
                width=torch.full((rows,), WIDTH),
                height=torch.full((rows,), HEIGHT),
                camera_type=CameraType.PERSPECTIVE,
                metadata={"frame_index": indices // 2, "camera_index": indices % 2},
            ),
            scene_box=SceneBox(aabb=torch.tensor([[-0.2] * 3, [0.2] * 3])),
            metadata={
                "hands": avatar,
                "masks": [ImageMasks() for _ in range(rows)],
            },
        )

    return make
