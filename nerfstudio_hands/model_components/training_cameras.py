"""Cameras as training finds them: how each answers to light, and where it stands."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor, nn


class TrainingCameras(nn.Module):
    """A gain and a bias a color channel for every camera but the first, and corrections of their poses.

    Args:
        num_cameras: cameras of the capture.
        learn_colors: whether gains and biases are learned.
        refine_poses: whether the poses are.

    Attributes:
        seen: cameras that training has seen [C].
    """

    seen: Tensor

    def __init__(self, num_cameras: int, *, learn_colors: bool, refine_poses: bool):
        super().__init__()
        self.learn_colors, self.refine_poses = learn_colors, refine_poses
        self.gain = nn.Parameter(torch.zeros(num_cameras, 3), requires_grad=learn_colors)
        self.bias = nn.Parameter(torch.zeros(num_cameras, 3), requires_grad=learn_colors)
        self.poses = nn.Parameter(torch.zeros(num_cameras, 6), requires_grad=refine_poses)
        self.register_buffer("seen", torch.zeros(num_cameras, dtype=torch.bool))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """What is learned, by the names of optimizers."""
        groups = {"camera_colors": [self.gain, self.bias]} if self.learn_colors else {}
        return {**groups, "camera_opt": [self.poses]} if self.refine_poses else groups

    def of(self, rays: RayBundle) -> Int[Tensor, "*R"] | None:
        """The camera that each ray belongs to, noted as seen in training; None where rays name none."""
        if not rays.metadata or "camera_index" not in rays.metadata:
            return None
        camera = rays.metadata["camera_index"][..., 0].long()
        if self.training:
            self.seen[camera.reshape(-1)] = True
        return camera

    def correct(self, rays: RayBundle, camera: Int[Tensor, "*R"] | None) -> RayBundle:
        """The rays as the corrected cameras cast them; unseen cameras stay where they are.

        The mean of the corrections is left out: moving all cameras moves the hand.
        """
        if not self.refine_poses or camera is None:
            return rays
        moves = exp_map_SO3xR3((self.poses - self._mean_seen(self.poses)) * self.seen[:, None])[camera]
        directions = (moves[..., :3] @ rays.directions[..., None])[..., 0]
        return replace(rays, origins=rays.origins + moves[..., 3], directions=directions)

    def respond(
        self, color: Float[Tensor, "*R 3"], accumulation: Float[Tensor, "*R 1"], camera: Int[Tensor, "*R"] | None
    ) -> Float[Tensor, "*R 3"]:
        """Color as a camera records it; where none is given, or one that training has not seen, as the mean of the
        others."""
        if not self.learn_colors:
            return color
        seen = self.seen[:, None]
        index = torch.arange(len(seen), device=color.device)[:, None]
        # The first one is the reference, or a common gain would be free.
        fixed = index == self.seen.int().argmax()
        gain, bias = (torch.where(fixed, torch.zeros_like(t), t) for t in (self.gain, self.bias))
        # The mean stands in for all others.
        gain, bias = (torch.where(seen, t, self._mean_seen(t)) for t in (gain, bias))
        if camera is None:
            return color * self._mean_seen(gain).exp() + self._mean_seen(bias) * accumulation
        return color * gain.exp()[camera] + bias[camera] * accumulation

    def _mean_seen(self, values: Float[Tensor, "C N"]) -> Float[Tensor, "N"]:
        """Mean over the cameras that training has seen, zero if there is none; without waiting for a GPU."""
        return torch.where(self.seen[:, None], values, 0).sum(dim=0) / self.seen.sum().clamp(min=1)

    def penalty(self, *, color_weight: float, pose_weight: float) -> Float[Tensor, ""]:
        """Squared gains and biases, and squared corrections of the poses (radians, meters), with weights."""
        found = color_weight * (self.gain.square().mean() * 0.1 + self.bias.square().mean())
        return found + pose_weight * self.poses.square().sum(dim=-1).mean() if self.refine_poses else found
