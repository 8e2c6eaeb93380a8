"""What volumetric hand avatars share: density of a learned surface in a shell round the posed one (VolSDF).

A method adds its field, and its warp if it has one: see `models/hand_uvnerf.py`, `models/hand_canonical.py`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Dict, List, Tuple, Type

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.hand_field import Geometry, HandField, Radiance, require_implementation
from nerfstudio_hands.fields.position_encoding import PositionEncoding
from nerfstudio_hands.fields.surface_samples import SurfaceSamples
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.model_components.canonical_warp import CanonicalWarp
from nerfstudio_hands.model_components.compositing import WeightedSamples, composite_outputs, empty_outputs
from nerfstudio_hands.model_components.export_source import ColorFn, ExportSource
from nerfstudio_hands.model_components.image_layers import Look, SoftSurface, below_at, shell_distances
from nerfstudio_hands.model_components.learned_surface import learned_surface_colors
from nerfstudio_hands.model_components.losses import PixelTargets
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.model_components.samplers import march_shell, points_on
from nerfstudio_hands.model_components.weights import density_weights, visible_samples, volsdf_density
from nerfstudio_hands.models.layered_model import LayeredModel
from nerfstudio_hands.models.shell_field_config import ShellFieldModelConfig
from nerfstudio_hands.program.option_range import Weight, bounded

BELOW_LEVELS = 17
"""Distances in the shell at which the field is asked at every vertex, for whole pictures."""


@dataclass
class VolumetricHandModelConfig(ShellFieldModelConfig):
    """Choices that every volumetric hand avatar shares."""

    _target: Type = field(default_factory=lambda: VolumetricHandModel)
    """target class to instantiate"""
    beta: bounded(float, 1e-5, 0.02) = 0.0008
    """Initial width in meters over which the learned surface turns from empty to opaque (VolSDF's beta)."""
    seam_loss_weight: Weight = 0.1
    """Weight of the squared difference of features across the seams of the texture atlas."""


class VolumetricHandModel(LayeredModel):
    """A hand avatar rendered from samples in a thin shell round the posed surface.

    Methods differ in what stands for a sample's place on the hand: see `make_position_encoding` and `make_warp`.
    """

    config: VolumetricHandModelConfig
    vertex_corner: Tensor

    def populate_modules(self):
        super().populate_modules()
        require_implementation(self.config.implementation, self.kwargs.get("device", "cpu"))
        self.warp = self.make_warp(self.avatar)
        self.field = HandField(
            self.make_position_encoding(self.avatar),
            pose_dim=self.hands.code_dim,
            light_dim=self.hands.light_dim,
            hidden_dim=self.config.hidden_dim,
            implementation=self.config.implementation,
        )
        self.log_beta = Parameter(torch.tensor(math.log(self.config.beta)))
        surface = self.avatar.surface
        corners = torch.arange(surface.faces.numel(), device=surface.faces.device)
        vertex_corner = corners.new_zeros(surface.num_vertices).scatter(0, surface.faces.flatten(), corners)
        self.register_buffer("vertex_corner", vertex_corner, persistent=False)

    def make_hands(self, avatar: AvatarData) -> PosedHands:
        return PosedHands(
            avatar,
            refine=self.config.refine_poses,
            pose_code=self.config.pose_code,
            casts_light=self.config.light_transfer,
        )

    def make_warp(self, avatar: AvatarData) -> CanonicalWarp | None:
        """Carries samples to canonical space, for methods that have one."""
        return None

    @abstractmethod
    def make_position_encoding(self, avatar: AvatarData) -> PositionEncoding:
        """What stands for the place on the hand: where the methods differ."""

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {"fields": [*self.field.parameters(), self.log_beta], **super().get_param_groups()}

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders rays [R]: see `composite_outputs`; in training also the scalar `penalty`."""
        camera = self.cameras.of(ray_bundle)
        rays = self.cameras.correct(ray_bundle, camera)
        beyond = self.beyond_scene(rays.origins)
        posed = self.hands.for_rays(rays)
        samples = march_shell(
            rays,
            posed,
            shell=self.config.shell,
            num_samples=self.config.num_samples,
            max_steps=self.config.march_steps,
            jitter=self.training,
        )
        if not len(samples.ray) and not self.training:
            return empty_outputs(beyond)
        located, geometry, density = self.density(*points_on(rays, samples.ray, samples.depth, posed), posed)
        weight = density_weights(density.view_as(samples.depth), samples.width)
        visible = torch.arange(weight.numel(), device=weight.device) if self.training else visible_samples(weight)
        weighted = WeightedSamples(len(rays.origins), samples.ray, samples.depth, weight, visible)
        located, geometry = located[visible], geometry[visible]
        radiance = self.field.radiance(located, geometry, rays.directions[weighted.visible_ray])
        respond = partial(self.cameras.respond, camera=camera)
        outputs = composite_outputs(
            weighted, radiance, located.normal, respond=respond, beyond=beyond, training=self.training
        )
        return {**outputs, "penalty": self.penalty(geometry, radiance, posed)} if self.training else outputs

    @property
    def draws_layers(self) -> bool:
        """Where a warp says how dense places are, layers do not know it."""
        return super().draws_layers and self.warp is None

    def soft_surface(self, posed: PosedSurfaces) -> SoftSurface:
        return SoftSurface(self.below_vertices(posed), self.log_beta.exp(), "density")

    def look(
        self,
        rays: RayBundle,
        ray: Int[Tensor, "N"],
        depth: Float[Tensor, "N 1"],
        *,
        below: Float[Tensor, "S V K"],
        posed: PosedSurfaces,
    ) -> Look:
        points, surface = points_on(rays, ray, depth, posed)
        at, distance, _ = self.near(points, surface, posed)
        located, _ = self.locate(points, *at, distance, posed)
        geometry = self.field.geometry(located, posed.code[surface])
        color = self.field.radiance(located, geometry, rays.directions[ray]).color
        known = below_at(below, posed.surfaces.faces, at, distance)
        return Look(color, located.normal, geometry.shift * self.config.shell - known)

    def below_vertices(self, posed: PosedSurfaces) -> Float[Tensor, "S V K"]:
        """How far below each vertex of posed surfaces the learned one lies, meters, as places at distances from it say:
        see `Surfaces.layers`."""
        count, num_vertices = posed.normals.shape[:2]
        device, shell = posed.normals.device, self.config.shell
        surface = torch.arange(count, device=device)[:, None, None]
        corner = self.vertex_corner[None, :, None]
        distance = shell_distances(BELOW_LEVELS, shell, device).expand(count, num_vertices, -1)
        points = posed.surfaces.vertices[:, :, None] + distance[..., None] * posed.normals[:, :, None]
        at = (surface.expand_as(distance), (corner // 3).expand_as(distance))
        surface, face, distance = (values.flatten() for values in (*at, distance))
        barycentric = F.one_hot(corner % 3, 3).to(points).expand_as(points).reshape(-1, 3)
        samples, _ = self.locate(points.view(-1, 3), surface, face, barycentric, distance / shell, posed)
        shift = self.field.geometry(samples, posed.code[surface]).shift
        return shell * shift.view(count, num_vertices, -1)

    def density(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Tuple[SurfaceSamples, Geometry, Float[Tensor, "N"]]:
        """Density at points near posed surfaces.

        Args:
            points: sample points, nerfstudio's world.
            surface: which surface each point belongs to.
            posed: the posed surfaces.

        Returns:
            Places on the hand, what the field says of them, density in 1/m (0 outside the shell and beyond the wrist).
        """
        shell = self.config.shell
        at, distance, inside = self.near(points, surface, posed)
        located, density_scale = self.locate(points, *at, distance, posed)
        geometry = self.field.geometry(located, posed.code[surface])
        density = volsdf_density((distance + geometry.shift) * shell, self.log_beta.exp())
        density = torch.where(inside, density, torch.zeros_like(density))
        return located, geometry, density if density_scale is None else density * density_scale

    def near(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Tuple[
        Tuple[Int[Tensor, "N"], Int[Tensor, "N"], Float[Tensor, "N 3"]], Float[Tensor, "N"], Bool[Tensor, "N"]
    ]:
        """Surface, nearest own face and barycentric coordinates of points, their signed distance in half widths of the
        shell (1 where the field has no say), and whether it has one; arguments as for :meth:`density`."""
        shell = self.config.shell
        near = posed.surfaces.closest(points, surface, max_distance=2 * shell)
        num_faces = posed.surfaces.num_own_faces
        face = near.face.clamp(0, num_faces - 1)
        inside = (near.face >= 0) & (near.face < num_faces) & (near.signed_distance.abs() <= shell)
        inside &= self.hands.surface.face_is_hand[face]
        distance = torch.where(inside, near.signed_distance / shell, torch.ones_like(near.signed_distance))
        return (surface, face, near.barycentric), distance, inside

    def locate(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        normalized_distance: Float[Tensor, "N"],
        posed: PosedSurfaces,
    ) -> Tuple[SurfaceSamples, Float[Tensor, "N"] | None]:
        """What the field is asked with.

        Args:
            points: sample points, nerfstudio's world.
            surface: which posed surface each belongs to.
            face: nearest own face.
            barycentric: where on it.
            normalized_distance: signed distance in half widths of the shell.
            posed: the posed surfaces.

        Returns:
            The points' places, and the warp's factor on their density (None for one).
        """
        at = (surface, face, barycentric)
        canonical, density_scale = (None, None) if self.warp is None else self.warp(points, *at, posed)
        normals = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        light = posed.interpolate(posed.light, *at)
        return SurfaceSamples(face, barycentric, normalized_distance, normals, light, canonical), density_scale

    def export_source(self) -> ExportSource:
        return ExportSource(self.hands, self.surface_colors)

    def surface_colors(self, pose: HandPose) -> ColorFn:
        """Colors of the learned surface in a pose [1, H, ...] of the capture's world, see `ExportSource`."""
        posed, shell = self.hands.at_pose(pose), self.config.shell
        return learned_surface_colors(self.field, self.locate, posed, shell=shell, exposure=self.mean_exposure)

    # Learning -------------------------------------------------------------------------------------------------------

    def penalty(self, geometry: Geometry, radiance: Radiance, posed: PosedSurfaces) -> Float[Tensor, ""]:
        """The regularizers, summed with their weights; here so that DDP sees every parameter used."""
        config = self.config
        terms = [
            config.smoothness_loss_weight * self.field.position.regularization(),
            config.seam_loss_weight * self.field.position.seam_difference(),
            self.common_penalty(),
        ]
        if len(geometry.shift):
            terms.append(config.offset_loss_weight * geometry.shift.square().mean())
            terms.append(config.view_loss_weight * radiance.view_residual.square().mean())
        return torch.stack(terms).sum()

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        return {**super().get_metrics_dict(outputs, batch), "beta_mm": self.log_beta.exp() * 1000}

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config, pixels = self.config, PixelTargets.of(batch, self.learned_labels, self.device)
        loss = {
            "color": config.color_loss_weight * pixels.color_loss(outputs["rgb"], config.huber_delta),
            "opacity": config.opacity_loss_weight * pixels.opacity_loss(outputs["accumulation"]),
        }
        if "diffuse" in outputs:
            loss["diffuse"] = config.diffuse_loss_weight * pixels.color_loss(outputs["diffuse"], config.huber_delta)
        if "penalty" in outputs:
            loss["penalty"] = outputs["penalty"]
        return {**loss, **self.patch_losses(outputs, batch, pixels)}
