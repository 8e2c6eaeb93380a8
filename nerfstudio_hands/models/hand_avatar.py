"""What every volumetric hand avatar shares: posed surface, samples in its shell, compositing, losses.

A method adds its field: see `models/hand_uvnerf.py`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Dict, List, Literal, Tuple, Type

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.utils.external import TCNN_EXISTS
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.hand_field import Geometry, HandField, Radiance
from nerfstudio_hands.fields.position_encoding import PositionEncoding
from nerfstudio_hands.fields.surface_points import SurfacePoints
from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.export_source import ColorFn, ExportSource
from nerfstudio_hands.model_components.learned_surface import learned_surface_colors
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig, color_loss
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import RayCount, Weight, bounded

LIGHT_LEVELS = 4
"""Levels of spherical harmonics of the light transfer."""

LEAST_WEIGHT = 1e-3
"""Weight of a sample in its pixel below which its colour is left out of renderings; of 16 samples, at most 4 of 255."""


@dataclass
class Weighed:
    """Where on M rays, out of those that are rendered, there is something.

    Attributes:
        depth: along the rays, metres [M, S].
        weight: how much of its ray's colour each place is [M, S].
        seen: those whose colour is asked for, as indices into the flattened others [N].
        places: these relative to what is posed [N].
        geometry: what the field says of their form [N].
    """

    depth: Float[Tensor, "M S"]
    weight: Float[Tensor, "M S"]
    seen: Int[Tensor, "N"]
    places: SurfacePoints
    geometry: Geometry


@dataclass
class HandAvatarModelConfig(PosedHandModelConfig):
    """Choices that every volumetric hand avatar shares."""

    _target: Type = field(default_factory=lambda: HandAvatarModel)
    """target class to instantiate"""
    eval_num_rays_per_chunk: RayCount = 16384
    """Rays rendered at once outside training."""
    shell: bounded(float, 0.0005, 0.05) = 0.005
    """Half width in metres of the shell round the fitted surface outside which space is empty."""
    num_samples: bounded(int, 1, 256) = 16
    """Samples a ray, spread over the parts of it that lie in the shell."""
    march_steps: bounded(int, 1, 4096) = 96
    """Steps at most by which a ray is followed to and through the shell."""
    thickness: bounded(float, 1e-5, 0.02) = 0.0008
    """Initial width in metres over which the learned surface turns from empty to opaque."""
    channels: bounded(int, 1, 256) = 8
    """Features a level of the planes that hold what the hand looks like."""
    hidden_dim: bounded(int, 1, 4096) = 64
    """Width of the networks."""
    pose_code: bool = True
    """Tell the field the local rotations of the pose, where the training frames show more than one."""
    light_transfer: bool = True
    """Tell the field what light reaches each point in a pose: shading and self-shadow then hold in new poses."""
    color_loss: Weight = 2.0
    """Weight of the colour of hand pixels (Huber; one-sided where a picture is saturated)."""
    diffuse_loss: Weight = 0.6
    """Weight of the same loss without the view-dependent part, so that this part stays what views disagree on."""
    opacity_loss: Weight = 0.1
    """Weight of the binary cross-entropy between accumulated opacity and mask."""
    view_penalty: Weight = 1e-2
    """Weight of the squared view-dependent part of the colour."""
    offset_penalty: Weight = 1e-2
    """Weight of the squared distance between learned and fitted surface, in half widths of the shell."""
    smoothness_penalty: Weight = 1e-3
    """Weight of the field's own regularisation (total variation of feature planes)."""
    seam_penalty: Weight = 0.1
    """Weight of the squared difference of features across the seams of the texture atlas."""

    def training_remedy(self, data: HandDataManagerConfig) -> str:
        return f"{super().training_remedy(data)} or --pipeline.model.num-samples{now(self.num_samples)}"


class HandAvatarModel(PosedHandModel):
    """A hand avatar rendered from samples in a thin shell round the posed surface.

    Methods differ in what stands for a sample's place on the hand: see `make_position_encoding` and `warp`.

    Density follows a learned surface: with signed distance s of that surface (metres, positive outside) and width b,
    density is Laplace's distribution function at -s over b (VolSDF, arXiv 2106.12052).
    """

    config: HandAvatarModelConfig
    part_names: Tuple[str, ...] = ()
    """Outputs that `parts` gives."""

    def populate_modules(self):
        super().populate_modules()
        if not TCNN_EXISTS:
            CONSOLE.log("tinycudann is not installed: the networks run on torch.")
        self.field = self.make_field(self.kwargs["metadata"]["hands"], "tcnn" if TCNN_EXISTS else "torch")
        self.log_thickness = Parameter(torch.tensor(math.log(self.config.thickness)))

    def make_hands(self, avatar: AvatarData) -> PosedHands:
        return PosedHands(
            avatar,
            refine=self.config.refine_poses,
            pose_code=self.config.pose_code,
            light_levels=LIGHT_LEVELS if self.config.light_transfer else 0,
        )

    def make_field(self, avatar: AvatarData, implementation: Literal["tcnn", "torch"]) -> HandField:
        """What is asked for form and colour."""
        return HandField(
            self.make_position_encoding(avatar),
            pose_dim=self.hands.code_dim,
            light_dim=self.hands.light_dim,
            hidden_dim=self.config.hidden_dim,
            implementation=implementation,
        )

    @abstractmethod
    def make_position_encoding(self, avatar: AvatarData) -> PositionEncoding:
        """What stands for the place on the hand: where the methods differ."""

    def warp(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        posed: PosedSurfaces,
    ) -> Tuple[Float[Tensor, "N 3"] | None, Float[Tensor, "N"] | None]:
        """Carries points near posed surfaces to canonical space, for methods that have one.

        Returns:
            The points there, and a factor in [0, 1] on their density; None for each that the method has not.
        """
        return None, None

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {"fields": [*self.field.parameters(), self.log_thickness], **super().get_param_groups()}

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders rays [R].

        Returns:
            `rgb` [R, 3] over black, outside training held in [0, 1]; `radiance` [R, 3], the same unbounded above;
            `depth` [R, 1] along the unit ray in metres, beyond the scene where more is seen through than met (TSDF
            fusion learns from it what is empty), `accumulation` [R, 1], `normals` [R, 3] in [0, 1]; in training also
            `diffuse` [R, 3] and the scalar `penalty`.
        """
        camera = self.camera_of(ray_bundle)
        ray_bundle = self.correct_cameras(ray_bundle, camera)
        origins, directions = ray_bundle.origins, ray_bundle.directions
        posed = self.hands.for_rays(ray_bundle)
        samples = self.sample(ray_bundle, posed)
        ray = samples.ray
        if not len(ray) and not self.training:
            black, none = torch.zeros_like(origins), torch.zeros_like(origins[:, :1])
            depth = self.beyond_scene(origins)
            result = {"rgb": black, "radiance": black, "accumulation": none, "depth": depth, "normals": black + 0.5}
            return {**result, **dict.fromkeys(self.part_names, none)}
        found = self.weigh(ray_bundle, samples, posed)
        weights, sample_ray = found.weight, ray[found.seen // found.weight.shape[1]]
        places, geometry, radiance = self.look(
            found.places, found.geometry, directions[sample_ray], posed.code[posed.ray_surface[sample_ray]]
        )

        def per_ray(values: Float[Tensor, "N C"], of: Int[Tensor, "N"]) -> Float[Tensor, "R C"]:
            return values.new_zeros(len(origins), values.shape[-1]).index_add(0, of, values)

        def composite(values: Float[Tensor, "N C"]) -> Float[Tensor, "R C"]:
            """Weighted sums a ray, of values a seen sample."""
            return per_ray(weights.flatten()[found.seen, None] * values, sample_ray)

        accumulation = per_ray(weights.sum(dim=1, keepdim=True), ray)
        color = self.camera_response(composite(radiance.color), accumulation, camera)
        result = {
            "rgb": color if self.training else color.clamp(0, 1),
            "radiance": color,
            "accumulation": accumulation,
            "depth": torch.where(
                accumulation > 0.5,
                per_ray((weights * found.depth).sum(dim=1, keepdim=True), ray) / accumulation.clamp(min=0.5),
                self.beyond_scene(origins),
            ),
            "normals": (F.normalize(composite(places.normal), dim=-1) + 1) / 2,
            **{name: composite(share) for name, share in self.parts(places).items()},
        }
        if self.training:
            result["diffuse"] = self.camera_response(composite(radiance.diffuse), accumulation, camera)
            result["penalty"] = self.penalty(geometry, radiance, posed)
        return result

    def march(self, rays: RayBundle, posed: PosedSurfaces, num_samples: int) -> ShellSamples:
        """Samples spread over the parts of rays in the shell; at random in training."""
        count = len(rays.origins)
        jitter = torch.rand(count, num_samples, device=rays.origins.device) if self.training else None
        return posed.surfaces.march(
            rays.origins.detach(),
            rays.directions.detach(),
            posed.ray_surface,
            shell=self.config.shell,
            num_samples=num_samples,
            max_steps=self.config.march_steps,
            jitter=jitter,
        )

    def sample(self, rays: RayBundle, posed: PosedSurfaces) -> ShellSamples:
        """Where rays are looked at."""
        return self.march(rays, posed, self.config.num_samples)

    def weigh(self, rays: RayBundle, samples: ShellSamples, posed: PosedSurfaces) -> Weighed:
        """Form at samples, and how much of its ray's colour each is."""
        depth = samples.depth
        places, geometry, density = self.evaluate(*points_on(rays, samples.ray, depth, posed), posed)
        alpha = 1 - torch.exp(-density.view_as(depth) * samples.width)
        passed = torch.cumprod(1 - alpha + 1e-7, dim=1)
        weight = alpha * torch.cat([torch.ones_like(alpha[:, :1]), passed[:, :-1]], dim=1)
        seen = self.seen(weight.flatten())
        return Weighed(depth, weight, seen, places[seen], geometry[seen])

    def parts(self, places: SurfacePoints) -> Dict[str, Float[Tensor, "N 1"]]:
        """How much of each place belongs to parts that have an output of their own, by its name."""
        return {}

    def seen(self, weights: Float[Tensor, "P"]) -> Int[Tensor, "N"]:
        """Which samples need a colour: all in training; later most weigh nothing."""
        return torch.nonzero(weights > (-1 if self.training else LEAST_WEIGHT))[:, 0]

    def look(
        self,
        places: SurfacePoints,
        geometry: Geometry,
        directions: Float[Tensor, "N 3"],
        pose_code: Float[Tensor, "N C"],
    ) -> Tuple[SurfacePoints, Geometry, Radiance]:
        """Colour of samples that are seen, with what is known better of them by then."""
        return places, geometry, self.field.radiance(places, geometry, directions)

    def evaluate(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Tuple[SurfacePoints, Geometry, Float[Tensor, "N"]]:
        """Form at points near posed surfaces.

        Args:
            points: sample points, nerfstudio's world.
            surface: which surface each point belongs to.
            posed: the posed surfaces.

        Returns:
            Places on the hand, what the field says of them, density in 1/m (0 outside the shell and beyond the wrist).
        """
        near = posed.surfaces.closest(points, surface, max_distance=2 * self.config.shell)
        num_faces = posed.surfaces.num_own_faces
        face = near.face.clamp(0, num_faces - 1)
        inside = (near.face >= 0) & (near.face < num_faces) & (near.signed_distance.abs() <= self.config.shell)
        inside &= self.hands.surface.face_is_hand[face]
        height = torch.where(inside, near.signed_distance / self.config.shell, torch.ones_like(near.signed_distance))
        there, gate = self.surface_points(points, surface, face, near.barycentric, height, posed)
        geometry = self.field.geometry(there, posed.code[surface])
        width = self.log_thickness.exp()
        distance = (height + geometry.shift) * self.config.shell / width
        occupancy = torch.where(
            distance > 0, 0.5 * torch.exp(-distance.clamp(min=0)), 1 - 0.5 * torch.exp(distance.clamp(max=0))
        )
        density = torch.where(inside, occupancy / width, torch.zeros_like(occupancy))
        return there, geometry, density if gate is None else density * gate

    def surface_points(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        height: Float[Tensor, "N"],
        posed: PosedSurfaces,
    ) -> Tuple[SurfacePoints, Float[Tensor, "N"] | None]:
        """What the field is asked with.

        Args:
            points: sample points, nerfstudio's world.
            surface: which posed surface each belongs to.
            face: nearest own face.
            barycentric: where on it.
            height: signed distance in half widths of the shell.
            posed: the posed surfaces.

        Returns:
            The points' places, and the warp's factor on their density (None for one).
        """
        at = (surface, face, barycentric)
        canonical, gate = self.warp(points, *at, posed)
        normals = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        light = posed.interpolate(posed.light, *at)
        return SurfacePoints(face, barycentric, height, normals, light, canonical), gate

    def penalty(self, geometry: Geometry, radiance: Radiance, posed: PosedSurfaces) -> Float[Tensor, ""]:
        """The regularisers, summed with their weights; here so that DDP sees every parameter used."""
        config = self.config
        terms = [
            config.smoothness_penalty * self.field.position.regularisation(),
            config.seam_penalty * self.field.position.seam_difference(),
            self.common_penalty(),
        ]
        if len(geometry.shift):
            terms.append(config.offset_penalty * geometry.shift.square().mean())
            terms.append(config.view_penalty * radiance.view_residual.square().mean())
        return torch.stack(terms).sum()

    def export_source(self) -> ExportSource:
        return ExportSource(self.hands, self.surface_colors)

    def surface_colors(self, pose: HandPose) -> ColorFn:
        """Colours of the learned surface in a pose [1, H, ...] of the capture's world, see `ExportSource`."""
        posed, shell = self.hands.at_pose(pose), self.config.shell
        return learned_surface_colors(self.field, self.surface_points, posed, shell=shell, exposure=self.mean_exposure)

    # Learning -------------------------------------------------------------------------------------------------------

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        return {**super().get_metrics_dict(outputs, batch), "thickness_mm": self.log_thickness.exp() * 1000}

    def compared_colors(self, outputs: Dict[str, Tensor], truth: Float[Tensor, "R 3"]) -> Dict[str, Tensor]:
        """What is compared with the colours of hand pixels: `rgb` and, in training, `diffuse`, over black."""
        return outputs

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config = self.config
        label = batch["hand_label"].view(-1).to(self.device)
        truth = batch["image"].to(self.device)
        shown = self.learns(label)
        known = shown | (label == PixelLabel.BACKGROUND)
        boundary = batch["on_boundary"].view(-1).to(self.device)
        target, known = shown | (boundary & batch["in_mask"].view(-1).to(self.device)), known | boundary
        colors = self.compared_colors(outputs, truth)
        loss = {
            "color": config.color_loss * color_loss(colors["rgb"][shown], truth[shown], config.huber_delta),
            "opacity": config.opacity_loss * opacity_loss(outputs["accumulation"].view(-1)[known], target[known]),
        }
        if "diffuse" in colors:
            loss["diffuse"] = config.diffuse_loss * color_loss(
                colors["diffuse"][shown], truth[shown], config.huber_delta
            )
        if "penalty" in outputs:
            loss["penalty"] = outputs["penalty"]
        num_patch_rays = batch["num_patch_rays"]
        if config.perceptual_loss > 0 and num_patch_rays:
            loss["perceptual"] = config.perceptual_loss * self.patch_loss(
                outputs["rgb"][-num_patch_rays:], truth[-num_patch_rays:], label[-num_patch_rays:], batch["patch_size"]
            )
        return loss


def points_on(
    rays: RayBundle, ray: Int[Tensor, "M"], depth: Float[Tensor, "M S"], posed: PosedSurfaces
) -> Tuple[Float[Tensor, "M*S 3"], Int[Tensor, "M*S"]]:
    """Points on rays, in nerfstudio's world, and which posed surface each belongs to.

    Args:
        rays: the rays.
        ray: which of them.
        depth: where on them, metres.
        posed: the posed surfaces.
    """
    points = rays.origins[ray, None] + rays.directions[ray, None] * depth[..., None]
    return points.flatten(0, 1), posed.ray_surface[ray, None].expand_as(depth).flatten()


def opacity_loss(found: Float[Tensor, "N"], wanted: Bool[Tensor, "N"]) -> Float[Tensor, ""]:
    """Binary cross-entropy between opacity and mask."""
    return F.binary_cross_entropy(found.clamp(1e-4, 1 - 1e-4), wanted.to(found.dtype))
