"""The network of `hand-monocular`: a crop to joints in the picture, and to pose, shape, place, skin and light.

After S2HAND (Chen et al., "Model-based 3D hand reconstruction via self-supervised learning", CVPR 2021): an encoder,
heads for the parameters of a hand, its texture and light, and a second branch of 2D heat maps. Unlike there, the maps
say how far each joint is behind the root, too (2.5D: Iqbal et al., "Hand pose estimation via latent 2.5D heatmap
regression", ECCV 2018), parameters are read off the joints that they find, turned into the palm's own axes, and places
are those of the crop and not meters (`decoder`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nerfstudio_hands.estimators.backbone import DEFAULT, Backbone
from nerfstudio_hands.estimators.neck import WIDTH, Neck, small_start
from nerfstudio_hands.estimators.soft_argmax import soft_argmax
from nerfstudio_hands.transforms.rotations import rotation_from_columns

HIDDEN = 512
"""Of the fully connected layers."""
NUM_TEXTURE = 8
"""Coefficients of skin."""
NUM_LIGHT = 27
"""Spherical harmonics up to the second order of three colors."""

TYPICAL_LOG_SIZE = -1.05
"""Logarithm of a hand's apparent size in a crop (`decoder.CropPlace`) that nothing has been learnt of."""


@dataclass
class MonocularOutput:
    """What the network says of B right hands.

    Places are those of the crop: -1 and 1 at its left and right (upper and lower) borders.

    Attributes:
        log_maps: Logarithms of the heat maps of the 21 joints, which add up to one each.
        points: The joints, from the heat maps.
        depths: Of the joints behind joint 9, palm lengths.
        log_scale: Of each joint's error (Laplace), logarithm of crop units.
        fractions: Where each number of the pose lies between its limits, 0 to 1: flexion, spread, twist of joints 1 to
            15, or NIMBLE's coefficients (`decoder`).
        rotation: Of the hand, in the view's axes.
        root: Place of joint 9, the middle finger's first.
        log_size: Logarithm of the apparent size.
        shape: Coefficients of the hand model.
        texture: Coefficients of skin.
        light: Spherical harmonics' coefficients, a color each.
    """

    log_maps: Float[Tensor, "B 21 h w"]
    points: Float[Tensor, "B 21 2"]
    depths: Float[Tensor, "B 21"]
    log_scale: Float[Tensor, "B 21"]
    fractions: Float[Tensor, "B P"]
    rotation: Float[Tensor, "B 3 3"]
    root: Float[Tensor, "B 2"]
    log_size: Float[Tensor, " B"]
    shape: Float[Tensor, "B K"]
    texture: Float[Tensor, "B C"]
    light: Float[Tensor, "B 9 3"]


class MonocularNetwork(nn.Module):
    """Crops to a `MonocularOutput`.

    Args:
        backbone: Name of timm's model.
        frozen_stages: See `Backbone`.
        num_pose: Numbers of a pose of the hand model.
        num_shape: Shape coefficients of the hand model.
        num_texture: Coefficients of skin.
    """

    def __init__(
        self,
        *,
        backbone: str = DEFAULT,
        frozen_stages: int = 0,
        num_pose: int = 45,
        num_shape: int = 10,
        num_texture: int = NUM_TEXTURE,
    ) -> None:
        super().__init__()
        self.sizes = [num_pose, 6, 2, num_shape]
        self.encoder = Backbone(backbone, frozen_stages)
        self.neck = Neck(self.encoder.channels[1:], WIDTH)
        self.maps = nn.Conv2d(WIDTH, 21, 1)
        self.scales, self.behind = nn.Conv2d(WIDTH, 21, 1), nn.Conv2d(WIDTH, 21, 1)
        self.whole = nn.Sequential(
            nn.Conv2d(self.encoder.channels[-1], HIDDEN, 1, bias=False), nn.BatchNorm2d(HIDDEN), nn.ReLU()
        )
        self.size_head = small_start(nn.Linear(HIDDEN, 1))
        self.per_joint = nn.Linear(WIDTH + 4, 32)
        self.trunk = nn.Sequential(
            *(nn.Linear(HIDDEN + 21 * (32 + 3), HIDDEN), nn.ReLU()),
            *(nn.Linear(HIDDEN, HIDDEN), nn.ReLU()),
        )
        self.parameters_head = small_start(nn.Linear(HIDDEN, sum(self.sizes)))
        self.texture_head = small_start(nn.Linear(HIDDEN, num_texture))
        self.light_head = small_start(nn.Linear(HIDDEN, NUM_LIGHT))

    def forward(self, pictures: Float[Tensor, "B 3 S S"]) -> MonocularOutput:
        """Looks at crops of right hands, or mirrored ones of left hands, in [0, 1]."""
        _, *features = self.encoder(pictures)
        maps = self.neck(features)
        heat = self.maps(maps)
        points, weights = soft_argmax(heat)
        log_scale = (weights * self.scales(maps).flatten(2)).sum(-1) - 1.0
        behind = (weights * self.behind(maps).flatten(2)).sum(-1)
        depths = behind - behind[:, 9:10]
        whole = self.whole(features[-1]).mean((2, 3))
        log_size = self.size_head(whole)[:, 0] + TYPICAL_LOG_SIZE
        palm, own = palm_axes(points.detach(), depths.detach(), log_size.detach())
        # What the maps have where each joint is.
        found = functional.grid_sample(maps, points.detach()[:, :, None], align_corners=False)[..., 0].mT
        joints = self.per_joint(torch.cat([found, points.detach(), depths[..., None], log_scale[..., None]], -1)).relu()
        hidden = self.trunk(torch.cat([whole, joints.flatten(1), own.flatten(1)], 1))
        fractions, turn, root, shape = self.parameters_head(hidden).split(self.sizes, -1)
        return MonocularOutput(
            log_maps=heat.flatten(2).log_softmax(-1).view_as(heat),
            points=points,
            depths=depths,
            log_scale=log_scale,
            fractions=fractions + 0.5,
            rotation=palm @ rotation_from_columns(turn),
            root=points[:, 9] + root,
            log_size=log_size,
            shape=shape,
            # How a hand looks is read off what its form has been learnt from, and does not bend that.
            texture=self.texture_head(hidden.detach()),
            light=self.light_head(hidden.detach()).unflatten(-1, (9, 3)),
        )


def palm_axes(
    points: Float[Tensor, "B 21 2"], depths: Float[Tensor, "B 21"], log_size: Float[Tensor, " B"]
) -> tuple[Float[Tensor, "B 3 3"], Float[Tensor, "B 21 3"]]:
    """Axes of the palm, and the joints in these.

    Args:
        points: Joints in the crop, -1 to 1.
        depths: Behind joint 9, palm lengths.
        log_size: Logarithm of the apparent size of a palm length.

    Returns:
        Axes as columns, those of the resting hand as far as the palm tells (x from the fingers to the wrist, y out of
        its back, z towards the thumb), and the joints about joint 9 in them, palm lengths.
    """
    flat = (points - points[:, 9:10]) / (2 * torch.exp(log_size))[:, None, None]
    joints = torch.cat([flat, depths[..., None]], -1)
    axes = resting_axes(joints)
    return axes, joints @ axes


def resting_axes(joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, "B 3 3"]:
    """The axes, as columns, that the resting hand's are, as far as the palm tells; see `palm_axes`."""
    along = functional.normalize(joints[:, 0] - joints[:, 9], dim=-1)
    across = joints[:, 5] - joints[:, 17]
    back = functional.normalize(torch.linalg.cross(across, along), dim=-1)
    return torch.stack([along, back, torch.linalg.cross(along, back)], -1)
