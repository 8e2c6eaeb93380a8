"""What a hand holds: where it is in every frame, and its field."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor, nn

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.held_object_field import HeldObjectField
from nerfstudio_hands.fields.kinematic_features import in_frames, object_features
from nerfstudio_hands.fields.surface_points import HeldPoints
from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces


class HeldObject(nn.Module):
    """A rigid object with a pose a frame. In poses of no frame the wrist of the hand that holds it takes it along.

    Args:
        avatar: first guesses of the poses, and how large the object may be.
        hands: the hands of the same capture.
        field: its form and colour.
    """

    def __init__(self, avatar: AvatarData, hands: PosedHands, field: HeldObjectField):
        super().__init__()
        self.field = field
        self.register_buffer("first_poses", hands.to_world @ avatar.object_pose.to(hands.to_world))
        reference = int(hands.train_frames[0])
        # The first frame that is seen says where the object's frame is; otherwise shape and poses turn together.
        moves = avatar.train_frames.clone()
        moves[reference] = False
        self.register_buffer("moves", moves[:, None], persistent=False)
        self.deltas = nn.Parameter(torch.zeros(len(moves), 6), requires_grad=bool(moves.any()))
        with torch.no_grad():
            posed = hands.at_frame(reference)
            wrist = posed.bones[0, :, 0]
            middle = self.first_poses[reference, :3, 3]
            parts = [posed.surfaces.vertices[0, part] for part in hands.surface.vertex_slices]
            self.hand = int(torch.stack([(part - middle).norm(dim=-1).amin() for part in parts]).argmin())
            self.register_buffer("in_wrist", torch.linalg.inv(wrist[self.hand]) @ self.first_poses[reference])

    def poses(self, posed: PosedSurfaces) -> Float[Tensor, "S 4 4"]:
        """Transforms from the object's frame to nerfstudio's world, of each posed surface."""
        if posed.frames is None:
            return posed.bones[:, self.hand, 0] @ self.in_wrist
        first = self.first_poses[posed.frames]
        move = exp_map_SO3xR3(self.deltas * self.moves)[posed.frames]
        turned = move[:, :, :3] @ first[:, :3, :3]
        shifted = first[:, :3, 3:] + move[:, :, 3:]
        return torch.cat([torch.cat([turned, shifted], dim=2), first[:, 3:]], dim=1)

    def points(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces, *, kinematic: bool
    ) -> HeldPoints:
        """What the field is asked with; all count as nearer to the object.

        Args:
            points: nerfstudio's world.
            surface: which posed surface each belongs to.
            posed: the posed surfaces.
            kinematic: whether the field is told where points are seen from hand and world.
        """
        poses = self.poses(posed)[surface]
        place = in_frames(points, poses[:, None])[:, 0]
        nearer = torch.ones(len(points), dtype=torch.bool, device=points.device)
        seen = None
        if kinematic:
            wrist, joints = posed.bones[surface, self.hand, 0], posed.joints[surface, self.hand]
            known = object_features(points, poses, wrist, joints)
            seen = torch.cat([known[:, :3], known[:, 6:]], dim=-1)
        return HeldPoints(place, poses[:, :3, :3], nearer, seen)

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
        share = (torch.arange(num_samples, device=ray.device) + place) / num_samples
        near, far = (nearest - half).clamp(min=0)[ray, None], (nearest + half)[ray, None]
        depth = near + (far - near) * share
        return ShellSamples(ray, depth.detach(), ((far - near) / num_samples).expand_as(depth).detach())


def merged(first: ShellSamples, second: ShellSamples, num_rays: int) -> ShellSamples:
    """Samples of both, in order along each ray; what one of them lacks on a ray repeats the ray's last sample."""
    count = first.depth.shape[1]
    depth = first.depth.new_full((num_rays, count + second.depth.shape[1]), torch.inf)
    depth[first.ray, :count], depth[second.ray, count:] = first.depth, second.depth
    ray = torch.nonzero(depth.isfinite().any(dim=1))[:, 0]
    depth = depth[ray].sort(dim=1).values
    last = torch.where(depth.isfinite(), depth, -torch.inf).amax(dim=1, keepdim=True)
    return with_widths(ray, torch.minimum(depth, last))


def with_widths(ray: Int[Tensor, "M"], depth: Float[Tensor, "M C"]) -> ShellSamples:
    """Samples that stand each for what lies between it and the next."""
    return ShellSamples(ray, depth, depth.diff(dim=1, append=depth[:, -1:]))
