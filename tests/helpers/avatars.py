"""A made-up avatar for the tests of models."""

from __future__ import annotations

from dataclasses import replace

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from helpers.made_up_avatar import made_up_avatar
from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.hand_model import HandPose, HandSurface, default_hand
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig


def make_model(config: PosedHandModelConfig, **more: object) -> PosedHandModel:
    """A right hand in two poses at the origin of a world that is the capture's; `more` is known of the avatar."""
    surface = HandSurface((default_hand("right"),))
    pose = HandPose.rest(1, (2,))
    pose.local_rotations[1, :, 3:6, 2] = 0.5
    avatar = made_up_avatar(surface, pose, frame_names=["a", "b"], camera_names=["00", "01", "02"])
    avatar = replace(avatar, **more)
    torch.manual_seed(0)
    box = SceneBox(torch.tensor([[-0.3] * 3, [0.3] * 3]))
    return config.setup(scene_box=box, num_train_data=6, metadata={"hands": avatar})


def rays_to(points: torch.Tensor, frame: int = 0, camera: int = 0) -> RayBundle:
    """Rays from 0.5 m above through points."""
    origins = points + torch.tensor([0.0, 0.5, 0.0])
    count = len(points)
    return RayBundle(
        origins=origins,
        directions=torch.tensor([[0.0, -1.0, 0.0]]).expand(count, 3).contiguous(),
        pixel_area=torch.ones(count, 1),
        camera_indices=torch.zeros(count, 1, dtype=torch.long),
        metadata={
            "directions_norm": torch.ones(count, 1),
            "frame_index": torch.full((count, 1), frame),
            "camera_index": torch.full((count, 1), camera),
        },
    )


def ray_batch(image: torch.Tensor, label: torch.Tensor, **more: object) -> RayBatch:
    """Pixels to learn from: colors [*R, 3], labels [*R, 1], and a mask of the hand."""
    return {
        "image": image,
        "hand_label": label,
        "in_mask": label == PixelLabel.HAND,
        "on_boundary": torch.zeros_like(label, dtype=torch.bool),
        "indices": torch.zeros(label.numel(), 3, dtype=torch.long),
        "grid": tuple(label.shape[:-1]),
        "num_patch_rays": 0,
        "patch_size": 32,
        **more,
    }


def vertices(model: PosedHandModel, frame: int = 0) -> torch.Tensor:
    """Posed vertices of a frame."""
    return model.hands.vertices(model.hands.pose_of(torch.tensor([frame])))[0].detach()
