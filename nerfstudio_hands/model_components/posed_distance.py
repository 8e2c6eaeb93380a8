"""Signed distance from hands in any pose, and what is seen where it is zero."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.canonical_warps import NearestSkinning
from nerfstudio_hands.fields.hand_field import Radiance
from nerfstudio_hands.fields.hand_sdf_field import HandSDFField, SDFSamples
from nerfstudio_hands.fields.kinematic_features import in_frames
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.hand_model.bone_frames import bone_frames
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces


@dataclass
class Shading:
    """What N samples show, and how the surface runs there.

    Attributes:
        normal: unit normals of the learned surface, world frame [N, 3].
        radiance: colors.
        shift: how far below the fitted surface the learned one lies at samples on hands, half widths of the shell [H].
        gradient: of the signed distance, world frame, those on hands first [N, 3].
    """

    normal: Float[Tensor, "N 3"]
    radiance: Radiance
    shift: Float[Tensor, "H"]
    gradient: Float[Tensor, "N 3"]


@dataclass
class SkinPoints:
    """Points of the learned surface of hands.

    Attributes:
        points: nerfstudio's world [N, 3].
        surface: which posed surface each belongs to [N].
        shift: how far below the fitted surface they lie, in half widths of the shell [N].
        of_hand: whether they are of what is shown, and not of the forearm [N].
    """

    points: Float[Tensor, "N 3"]
    surface: Int[Tensor, "N"]
    shift: Float[Tensor, "N"]
    of_hand: Bool[Tensor, "N"]


class HandDistance(nn.Module):
    """Signed distance from hands: that of the fitted surface, and within its shell what the field has learned.

    Args:
        field: the learned part.
        skinning: from posed hands to the rest pose.
        surface: the hands.
        shell: half width of the shell round the fitted surface, meters.
        subdivision_offset: how far the surface lies outside of the flat faces that were fitted, meters.
        kinematic: whether the field sees points from the posed bones; otherwise their place in the rest pose.
    """

    face_is_hand: Tensor

    def __init__(
        self,
        field: HandSDFField,
        skinning: NearestSkinning,
        surface: HandSurface,
        *,
        shell: float,
        subdivision_offset: float,
        kinematic: bool,
    ):
        super().__init__()
        self.field, self.skinning = field, skinning
        self.shell, self.subdivision_offset, self.kinematic = shell, subdivision_offset, kinematic
        self.register_buffer("face_is_hand", surface.face_is_hand, persistent=False)

    def forward(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]:
        """Signed distances in meters, and whether they are from what is shown and not from the forearm. Beyond the
        shell they are those from the fitted surface.

        Args:
            points: nerfstudio's world.
            surface: which posed surface each belongs to.
            posed: the posed surfaces.
        """
        samples = self.locate(points, surface, posed)
        return self.distance(samples, posed.code[surface]), samples.of_hand  # pyright: ignore[reportReturnType]

    def distance(self, samples: SDFSamples, pose_code: Float[Tensor, "N P"]) -> Float[Tensor, "N"]:
        """Signed distances of samples, meters."""
        shift, _ = self.field.correction(samples, pose_code)
        return (samples.normalized_distance + torch.where(samples.in_shell, shift, 0.0)) * self.shell  # pyright: ignore[reportArgumentType, reportCallIssue]

    def locate(self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces) -> SDFSamples:
        """What the field is asked with; arguments as for :meth:`forward`."""
        near = posed.surfaces.closest(points, surface)
        own = near.face < posed.surfaces.num_own_faces
        face = near.face.clamp(0, posed.surfaces.num_own_faces - 1)
        at = (surface, face, near.barycentric)
        normal = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        offset = points - posed.interpolate(posed.surfaces.vertices, *at)
        outward = torch.where(
            offset.norm(dim=-1, keepdim=True) > 1e-6,
            F.normalize(offset, dim=-1) * near.signed_distance.sign()[:, None],
            normal,
        )
        rotation = posed.interpolate(self.skinning.vertex_rotations(posed.bones), *at).unflatten(-1, (3, 3))
        canonical = self.skinning.undo(rotation, offset, face, near.barycentric)
        position, bones = canonical, None
        if self.kinematic:
            position, rotation, bones = self._in_wrist(points, surface, face, posed)
        return SDFSamples(
            face,
            near.barycentric,
            # The fit has seen flat faces, and none that bulge.
            near.signed_distance / self.shell + self.subdivision_offset / self.shell,
            normal,
            posed.interpolate(posed.light, *at),
            canonical,
            position=position,
            rotation=rotation,
            outward=outward,
            of_hand=own & self.face_is_hand[face],
            # What closes the wrist is no skin, and has no place that the network knows.
            in_shell=own & (near.signed_distance.abs() <= self.shell),
            bones=bones,
        )

    def _in_wrist(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], face: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3 3"], Float[Tensor, "N 16 4 4"]]:
        """Points seen from the posed wrist, its rotation into the world, and the frames of the bones seen from it."""
        hand = self.skinning.hands.face_hand[face]
        frames = bone_frames(posed.bones, self.skinning.hands.joints)
        wrist = frames[..., 0, :, :]
        position = in_frames(points[:, None], wrist[surface, hand][:, None])[:, 0, 0]
        bones = (torch.linalg.inv(wrist)[..., None, :, :] @ frames)[surface, hand]
        return position, wrist[surface, hand][:, :3, :3], bones

    def shade(self, samples: SDFSamples, directions: Float[Tensor, "N 3"], pose_code: Float[Tensor, "N P"]) -> Shading:
        """Colors of samples, with the normals of the learned surface.

        Args:
            samples: where they are.
            directions: unit viewing directions, from the camera, world frame.
            pose_code: code of the pose that each one's surface is in.
        """
        geometry = self.field.with_gradient(samples, pose_code)
        normal = F.normalize(geometry.gradient, dim=-1)
        radiance = self.field.radiance(replace(samples, normal=normal), geometry, directions)
        return Shading(normal, radiance, geometry.shift, geometry.gradient)

    def diffuse(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Float[Tensor, "N 3"]:
        """Colors at points near the surface without the view-dependent part; arguments as for :meth:`forward`."""
        samples = self.locate(points, surface, posed)
        return self.shade(samples, -samples.outward, posed.code[surface]).radiance.diffuse

    def random_skin(self, posed: PosedSurfaces, count: int) -> SkinPoints:
        """The learned surface at random vertices, wherever rays go.

        Args:
            posed: the posed surfaces.
            count: vertices, the same of each surface.
        """
        vertices = posed.surfaces.vertices
        chosen = torch.randint(vertices.shape[1], (count,), device=vertices.device)
        surface = torch.arange(len(vertices), device=vertices.device).repeat_interleave(count)
        points, normals = (values[:, chosen].flatten(0, 1) for values in (vertices, posed.normals))
        samples = self.locate(points, surface, posed)
        shift, _ = self.field.correction(samples, posed.code[surface])
        skin = points - (self.subdivision_offset + self.shell * shift[:, None]) * normals
        return SkinPoints(skin, surface, shift, samples.of_hand)  # pyright: ignore[reportArgumentType]

    @torch.no_grad()
    def below_vertices(self, posed: PosedSurfaces) -> Float[Tensor, "S V 2"]:
        """How far below each vertex of posed surfaces the learned surface lies, meters; the same for places at any
        distance, because what is learned is a distance, too."""
        count, num_vertices = posed.normals.shape[:2]
        surface = torch.arange(count, device=posed.normals.device).repeat_interleave(num_vertices)
        distance, _ = self(posed.surfaces.vertices.flatten(0, 1), surface, posed)
        return distance.view(count, num_vertices, 1).expand(-1, -1, 2)

    @torch.no_grad()
    def exact(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Float[Tensor, " N"]:
        """Signed distances of points anywhere, without asking the field of those that it need not tell; arguments as
        for :meth:`forward`."""
        fitted = posed.surfaces.closest(points, surface).signed_distance
        near = torch.nonzero(fitted.abs() < self.shell)[:, 0]
        distance, _ = self(points[near], surface[near], posed)
        # In the crease of a bent finger faces of the fit cross, and the nearest may look the wrong way.
        inside = posed.surfaces.inside(points, surface)
        covered = inside != (fitted < 0)
        found = (fitted + self.subdivision_offset).index_copy(0, near, distance)
        return torch.where(covered, torch.where(inside, -fitted.abs(), fitted.abs()), found)
