"""What hands hold, as a field that is posed in every frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.hand_field import Radiance
from nerfstudio_hands.fields.held_object_field import HeldObjectField
from nerfstudio_hands.fields.kinematic_features import in_frames, object_features
from nerfstudio_hands.fields.surface_samples import ObjectSamples
from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.model_components.object_poses import ObjectPoses
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces


class PosedObject(ObjectPoses):
    """A rigid object with a pose a frame, and its field.

    Args:
        avatar: first guesses of the poses, and how large the object may be.
        hands: the hands of the same capture.
        field: its geometry and color.
        kinematic: whether the field is told where points are seen from hand and world.
    """

    def __init__(self, avatar: AvatarData, hands: PosedHands, field: HeldObjectField, *, kinematic: bool):
        super().__init__(avatar, hands)
        self.field, self.kinematic = field, kinematic

    def forward(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]:
        """Signed distances in meters, and that all of them count; arguments as for :meth:`locate`."""
        samples = self.locate(points, surface, posed)
        return self.field.sdf(samples)[0], samples.nearer

    def locate(self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces) -> ObjectSamples:
        """What the field is asked with; all count as nearer to the object.

        Args:
            points: nerfstudio's world.
            surface: which posed surface each belongs to.
            posed: the posed surfaces.
        """
        poses = self.poses(posed)[surface]
        position = in_frames(points[:, None], poses[:, None])[:, 0, 0]
        nearer = torch.ones(len(points), dtype=torch.bool, device=points.device)
        kinematic = None
        if self.kinematic:
            wrist, joints = posed.bones[surface, self.hand, 0], posed.joints[surface, self.hand]
            known = object_features(points[:, None], torch.stack([poses, wrist], dim=1), joints)[:, 0]
            kinematic = torch.cat([known[:, :3], known[:, 6:]], dim=-1)
        return ObjectSamples(position, poses[:, :3, :3], nearer, kinematic)

    def shade(
        self, samples: ObjectSamples, directions: Float[Tensor, "N 3"]
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"], Radiance]:
        """Gradients of the signed distance, unit normals (both in the world frame) and colors of samples.

        Args:
            samples: where they are.
            directions: unit viewing directions, from the camera, world frame.
        """
        gradient, features = self.field.with_gradient(samples, create_graph=self.training)
        normal = F.normalize(gradient, dim=-1)
        return gradient, normal, self.field.radiance(samples, features, normal, directions)

    def diffuse(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Float[Tensor, "N 3"]:
        """Colors at points of the surface without the view-dependent part; arguments as for :meth:`locate`."""
        samples = self.locate(points, surface, posed)
        gradient, features = self.field.with_gradient(samples, create_graph=False)
        normal = F.normalize(gradient, dim=-1)
        return self.field.radiance(samples, features, normal, -normal).diffuse

    def march(self, rays: RayBundle, posed: PosedSurfaces, num_samples: int, *, jitter: bool) -> ShellSamples:
        """Samples spread evenly over the parts of rays [R] in the sphere that bounds the object.

        Args:
            rays: with origins and unit directions in nerfstudio's world.
            posed: the posed surfaces.
            num_samples: samples a ray.
            jitter: whether each lies at random in its stretch of the ray, or in the middle.
        """
        middle = self.poses(posed)[posed.ray_surface, :3, 3]
        origins, directions = rays.origins.detach(), rays.directions.detach()
        nearest = ((middle - origins) * directions).sum(dim=-1)
        missed = (origins + directions * nearest[:, None] - middle).norm(dim=-1)
        half = (self.field.radius**2 - missed.square()).clamp(min=0).sqrt()
        ray = torch.nonzero((half > 0) & (nearest + half > 0))[:, 0]
        place = torch.rand(len(ray), num_samples, device=ray.device) if jitter else 0.5
        fraction = (torch.arange(num_samples, device=ray.device) + place) / num_samples
        near, far = (nearest - half).clamp(min=0)[ray, None], (nearest + half)[ray, None]
        depth = near + (far - near) * fraction
        return ShellSamples(ray, depth.detach(), ((far - near) / num_samples).expand_as(depth).detach())
