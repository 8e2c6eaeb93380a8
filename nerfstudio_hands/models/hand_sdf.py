"""`hand-sdf`: the hand as a signed distance field, rendered after NeuS (arXiv 2106.10689)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Dict, List, Literal, Tuple, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.hand_field import require_implementation
from nerfstudio_hands.fields.hand_sdf_field import HandSDFFieldConfig, SDFSamples
from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.compositing import (
    WeightedSamples,
    composite_outputs,
    empty_outputs,
    with_parts,
)
from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.image_layers import Look, SoftSurface, below_at
from nerfstudio_hands.model_components.losses import (
    PixelTargets,
    attraction_loss,
    eikonal_loss,
    opacity_loss,
    penetration_loss,
)
from nerfstudio_hands.model_components.posed_distance import Shading
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.posed_object import PosedObject
from nerfstudio_hands.model_components.samplers import SceneSampler, points_on
from nerfstudio_hands.model_components.scene_distance import ShownDistance, make_scene
from nerfstudio_hands.model_components.scene_export import scene_export_source
from nerfstudio_hands.model_components.schedules import Schedule, before_each_step
from nerfstudio_hands.model_components.weights import neus_weights, visible_samples, zero_crossings
from nerfstudio_hands.models.layered_model import LayeredModel
from nerfstudio_hands.models.shell_field_config import ShellFieldModelConfig
from nerfstudio_hands.program.option_range import RayCount, Weight, bounded

NUM_SKIN_POINTS = 512
"""Points of the skin a pose at which something is asked of it, wherever rays go."""


@dataclass
class HandSDFModelConfig(ShellFieldModelConfig):
    """Choices of `hand-sdf`."""

    _target: Type = field(default_factory=lambda: HandSDFModel)
    """target class to instantiate"""
    eval_num_rays_per_chunk: RayCount = 4096
    """Rays rendered at once outside training."""
    sdf_field: HandSDFFieldConfig = field(default_factory=HandSDFFieldConfig)
    """The network of signed distance."""
    space: Literal["canonical", "posed"] = "canonical"
    """Where the network sees points: in the rest pose, to which skinning carries them, or from the 16 posed bones."""
    subdivisions: bounded(int, 0, 6) = 2
    """How often each face of the hand model is cut in four, so that its facets need not be unlearned."""
    num_searches: bounded(int, 1, 256) = 10
    """Places a ray at which the surface is looked for; the samples then lie round it."""
    num_samples: bounded(int, 2, 256) = 7
    """Samples a ray, mostly where it meets the surface as it is now."""
    inverse_s: bounded(float, 1e-5, 0.02) = 0.0005
    """Initial width in meters over which the learned surface turns from empty to opaque (NeuS' 1 / s)."""
    resolutions: bounded(Tuple[int, ...], 2, 2048) = (32, 96, 256)
    """Texels along a side of the three feature planes of the color over the rest pose, a level each."""
    color_loss_weight: Weight = 10.0
    """Weight of the color of hand pixels (Huber; one-sided where a picture is saturated): in hollows, which no outline
    shows, nothing else says where the surface is."""
    diffuse_loss_weight: Weight = 3.0
    """Weight of the same loss without the view-dependent part, so that this part stays what views disagree on."""
    cover_loss_weight: Weight = 0.0
    """Weight of the same loss over black: makes the hand opaque to its rim, and a little larger."""
    view_loss_weight: Weight = 0.05
    """Weight of the squared view-dependent part of the color."""
    eikonal_loss_weight: Weight = 0.3
    """Weight of the squared difference between the length of the distance's gradient and one."""
    num_eikonal: bounded(int, 0, 2**20) = 512
    """Samples that need no color at which this is asked for too."""
    template_loss_weight: Weight = 1.0
    """Weight at the start of the squared distance between learned and fitted surface, in half widths of the shell;
    behind the wrist, where no ray counts, to the end."""
    template_fade: Schedule = field(default_factory=lambda: Schedule(start=0.0, end=0.3))
    """Part of the training over which this fades to `offset_loss_weight`, which remains."""
    offset_loss_weight: Weight = 1e-3
    """Weight of the same to the end: what nobody sees stays where the fit has it."""
    object_searches: bounded(int, 1, 256) = 24
    """Places a ray at which a held object is looked for first."""
    part_loss_weight: Weight = 0.1
    """Weight of the binary cross-entropy between the object's part of the opacity and its mask."""
    penetration_loss_weight: Weight = 1.0
    """Weight of the squared depth of skin in the object, in half widths of the shell."""
    attraction_loss_weight: Weight = 0.0
    """Weight of how far skin is from the object that is within a half width of the shell, likewise."""


class HandSDFModel(LayeredModel):
    """Hand avatar, with what it holds, whose surface is the zero level of a network."""

    config: HandSDFModelConfig
    hands: PosedFineHands

    def make_hands(self, avatar: AvatarData) -> PosedFineHands:
        config = self.config
        return PosedFineHands(
            avatar,
            config.subdivisions,
            refine=config.refine_poses,
            pose_code=config.pose_code,
            casts_light=config.light_transfer,
        )

    def populate_modules(self):
        super().populate_modules()
        config = self.config
        require_implementation(config.implementation, self.kwargs.get("device", "cpu"))
        self.scene = make_scene(
            self.avatar,
            self.hands,
            config.sdf_field,
            kinematic=config.space == "posed",
            shell=config.shell,
            resolutions=config.resolutions,
            channels=config.channels,
            hidden_dim=config.hidden_dim,
            implementation=config.implementation,
        )
        if self.held is not None:
            self.show_hand, self.show_object = self.scene.switches
        self.sampler = SceneSampler(
            shell=config.shell,
            march_steps=config.march_steps,
            num_searches=config.num_searches,
            object_searches=config.object_searches,
            num_samples=config.num_samples,
        )
        self.log_inverse_s = Parameter(torch.tensor(math.log(config.inverse_s)))
        self.template_weight = config.template_loss_weight

    @property
    def held(self) -> PosedObject | None:
        """What the hands hold."""
        return self.scene.held

    @property
    def learned_labels(self) -> Tuple[int, ...]:
        return (PixelLabel.HAND,) if self.held is None else (PixelLabel.HAND, PixelLabel.OBJECT)

    @property
    def inverse_s(self) -> Float[Tensor, ""]:
        """Width over which the surface turns from empty to opaque, meters."""
        return self.log_inverse_s.exp()

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = {**super().get_param_groups(), **self.scene.param_groups()}
        return {**groups, "fields": [self.log_inverse_s, *groups["fields"]]}

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def fade(trained: float) -> None:
            left = 1 - self.config.template_fade.progress(trained)
            self.template_weight = left * self.config.template_loss_weight + self.config.offset_loss_weight

        return [*super().get_training_callbacks(attributes), before_each_step(attributes, fade)]

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders rays [R]: see `composite_outputs`; where an object is held also `object_accumulation` [R, 1] and
        `parts` [R, 3], hand red, object blue; in training also the scalar `penalty`."""
        camera = self.cameras.of(ray_bundle)
        rays = self.cameras.correct(ray_bundle, camera)
        beyond = self.beyond_scene(rays.origins)
        posed = self.hands.for_rays(rays)
        samples = self.sampler(self.scene, rays, posed, inverse_s=self.inverse_s, training=self.training)
        if not len(samples.ray) and not self.training:
            outputs = empty_outputs(beyond)
            return outputs if self.held is None else with_parts(outputs, torch.zeros_like(beyond))
        weighted, located = self.render_weights(rays, samples, posed)
        ray = weighted.visible_ray
        shading = self.scene.shade(located, rays.directions[ray], posed.code[posed.ray_surface[ray]])
        outputs = composite_outputs(
            weighted,
            shading.radiance,
            shading.normal,
            respond=partial(self.cameras.respond, camera=camera),
            beyond=beyond,
            training=self.training,
        )
        if located.held is not None:
            outputs = with_parts(outputs, weighted.composite(located.held.nearer[:, None].float()))
        return {**outputs, "penalty": self.penalty(shading, posed)} if self.training else outputs

    @property
    def draws_layers(self) -> bool:
        """Layers know nothing of what hands hold."""
        return super().draws_layers and self.held is None

    def soft_surface(self, posed: PosedSurfaces) -> SoftSurface:
        return SoftSurface(self.scene.hand.below_vertices(posed), self.inverse_s, "distance")

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
        located = self.scene.locate(points, surface, posed)
        shading = self.scene.shade(located, rays.directions[ray], posed.code[surface])
        offset = self.scene.hand.subdivision_offset
        at = (surface, located.face, located.barycentric)
        distance = located.normalized_distance - offset / self.config.shell
        further = shading.shift * self.config.shell + offset - below_at(below, posed.surfaces.faces, at, distance)
        return Look(shading.radiance.color, shading.normal, further)

    def render_weights(
        self, rays: RayBundle, samples: ShellSamples, posed: PosedSurfaces
    ) -> Tuple[WeightedSamples, SDFSamples]:
        """What is seen of each section between samples is where in it the surface lies: a color there says, however
        narrow the surface has become, whether the surface should be nearer or further."""
        ray, depth = samples.ray, samples.depth
        distance, counts = (value.view_as(depth) for value in self.scene(*points_on(rays, ray, depth, posed), posed))
        weight, depth = neus_weights(distance, counts, self.inverse_s), zero_crossings(depth, distance)
        visible = visible_samples(weight, num_random=self.config.num_eikonal if self.training else 0)
        weighted = WeightedSamples(len(rays.origins), ray, depth, weight, visible)
        points = points_on(rays, weighted.visible_ray, depth.flatten()[visible, None], posed)
        return weighted, self.scene.locate(*points, posed)

    # Learning -------------------------------------------------------------------------------------------------------

    def penalty(self, shading: Shading, posed: PosedSurfaces) -> Float[Tensor, ""]:
        """The regularizers, summed with their weights; here so that DDP sees every parameter used."""
        config = self.config
        terms = [
            config.smoothness_loss_weight * self.scene.hand.field.position.regularization(),
            self.common_penalty(),
            config.eikonal_loss_weight * eikonal_loss(shading.gradient),
            self.skin_penalty(posed),
        ]
        if len(shading.shift):
            terms.append(self.template_weight * shading.shift.square().mean())
        if len(shading.radiance.view_residual):
            terms.append(config.view_loss_weight * shading.radiance.view_residual.square().mean())
        if self.held is not None:
            terms.append(config.smoothness_loss_weight * self.held.field.planes.total_variation())
        return torch.stack(terms).sum()

    def skin_penalty(self, posed: PosedSurfaces) -> Float[Tensor, ""]:
        """What is asked of all skin, seen or not: to be where the fit has it, behind the wrist, where no ray counts,
        strictly; and neither in the object nor, if wanted, near it without touching. With the weights."""
        config, skin = self.config, self.scene.hand.random_skin(posed, NUM_SKIN_POINTS)
        weight = torch.where(skin.of_hand, config.offset_loss_weight, config.template_loss_weight)
        found = (weight * skin.shift.square()).mean()
        if self.held is None:
            return found
        distance = self.held(skin.points, skin.surface, posed)[0] / config.shell
        found = found + config.penetration_loss_weight * penetration_loss(distance)
        return found + config.attraction_loss_weight * attraction_loss(distance)

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        return {**super().get_metrics_dict(outputs, batch), "inverse_s_mm": self.inverse_s * 1000}

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config, pixels = self.config, PixelTargets.of(batch, self.learned_labels, self.device)
        # Over black, colors would draw the surface outward in every pixel of the hand that its outline cuts.
        behind = (1 - outputs["accumulation"]) * pixels.color
        loss = {
            "color": config.color_loss_weight * pixels.color_loss(outputs["rgb"] + behind, config.huber_delta),
            "opacity": config.opacity_loss_weight * pixels.opacity_loss(outputs["accumulation"]),
        }
        if "diffuse" in outputs:
            loss["diffuse"] = config.diffuse_loss_weight * pixels.color_loss(
                outputs["diffuse"] + behind, config.huber_delta
            )
        if "penalty" in outputs:
            loss["penalty"] = outputs["penalty"]
        if config.cover_loss_weight > 0:
            loss["cover"] = config.cover_loss_weight * pixels.color_loss(outputs["rgb"], config.huber_delta)
        if self.held is not None:
            accumulation, is_object = outputs["object_accumulation"].view(-1), pixels.label == PixelLabel.OBJECT
            loss["part"] = config.part_loss_weight * opacity_loss(accumulation[pixels.known], is_object[pixels.known])
        return {**loss, **self.patch_losses(outputs, batch, pixels)}

    # Export ---------------------------------------------------------------------------------------------------------

    def export_source(self) -> ExportSource:
        return scene_export_source(self.hands, self.scene, exposure=self.mean_exposure)

    @property
    def field(self) -> ShownDistance:
        """What `ns-export marching-cubes` asks."""
        return ShownDistance(self.hands, self.scene)
