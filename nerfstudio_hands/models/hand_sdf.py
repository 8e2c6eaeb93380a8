"""`hand-sdf`: the hand as a signed distance field, rendered after NeuS (arXiv 2106.10689)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Callable, Dict, List, Literal, Tuple, Type

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.viewer.viewer_elements import ViewerCheckbox
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import ImageBatch, RayBatch
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.evaluation.color_calibration import calibrate_colors
from nerfstudio_hands.evaluation.image_metrics import COVERED, psnr
from nerfstudio_hands.fields.canonical_warps import CanonicalHands, NearestSkinning
from nerfstudio_hands.fields.hand_field import Geometry, Radiance
from nerfstudio_hands.fields.hand_sdf_field import HandSDFField, HandSDFFieldConfig, SkeletonPoints, SlopedGeometry
from nerfstudio_hands.fields.held_object_field import HeldObjectField
from nerfstudio_hands.fields.kinematic_features import in_frames
from nerfstudio_hands.fields.position_encoding import CanonicalEncoding
from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.hand_model.bone_frames import bone_frames
from nerfstudio_hands.hand_model.model import rest_joints
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.export_source import ColorFn, DistanceSource, ExportSource, HeldObjectSource
from nerfstudio_hands.model_components.held_object import HeldObject, merged, with_widths
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands, smooth_excess
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.models.hand_avatar import (
    LEAST_WEIGHT,
    HandAvatarModel,
    HandAvatarModelConfig,
    Weighed,
    opacity_loss,
    points_on,
)
from nerfstudio_hands.models.hand_canonical import MARGIN
from nerfstudio_hands.models.posed_hand_model import color_loss
from nerfstudio_hands.program.option_range import Fraction, RayCount, Weight, bounded

EVEN_SHARE = 0.2
"""Share of the samples that is spread over the shell whatever the surface is thought to be."""

CUTS = 8
"""Parts of the way from one place at which the surface is looked for to the next, of which samples choose."""

CLEAR = 7.0
"""Widths of the surface beyond which less than a thousandth of the light is lost."""

LEAST_LIGHT = 1e-5
"""Share of a ray's light that is taken for none: less than what the loss on opacity tells from it."""

GRAZING = 0.1
"""Least cosine between ray and surface for which it is told where they meet."""

HIDDEN = 0.1
"""Metres; what a switch of the viewer hides is at least so far away."""

NUM_SKIN_POINTS = 512
"""Points of the skin a pose at which something is asked of it, wherever rays go."""

RADIANCE = tuple(entry.name for entry in fields(Radiance))

POINTS_AT_ONCE = 1 << 16
"""Points of the world whose distance is asked for at once."""


@dataclass
class HandSDFModelConfig(HandAvatarModelConfig):
    """Choices of `hand-sdf`."""

    _target: Type = field(default_factory=lambda: HandSDFModel)
    """target class to instantiate"""
    eval_num_rays_per_chunk: RayCount = 4096
    """Rays rendered at once outside training."""
    sdf_field: HandSDFFieldConfig = field(default_factory=HandSDFFieldConfig)
    """The network of signed distance."""
    space: Literal["canonical", "posed"] = "canonical"
    """Where the network sees points: in the zero pose, to which skinning carries them, or from the 16 posed bones."""
    subdivisions: bounded(int, 0, 6) = 2
    """How often each face of the hand model is cut in four, so that its facets need not be unlearned."""
    num_searches: bounded(int, 1, 256) = 10
    """Places a ray at which the surface is looked for; the samples then lie round it."""
    num_samples: bounded(int, 1, 256) = 7
    """Samples a ray, mostly where it meets the surface as it is now."""
    thickness: bounded(float, 1e-5, 0.02) = 0.0005
    """Initial width in metres over which the learned surface turns from empty to opaque."""
    resolutions: bounded(Tuple[int, ...], 2, 2048) = (32, 96, 256)
    """Texels along a side of the three feature planes of the colour over the zero pose, a level each."""
    color_loss: Weight = 10.0
    """Weight of the colour of hand pixels (Huber; one-sided where a picture is saturated): in hollows, which no outline
    shows, nothing else says where the surface is."""
    diffuse_loss: Weight = 3.0
    """Weight of the same loss without the view-dependent part, so that this part stays what views disagree on."""
    cover_loss: Weight = 0.0
    """Weight of the same loss over black: makes the hand opaque to its rim, and a little larger."""
    view_penalty: Weight = 0.05
    """Weight of the squared view-dependent part of the colour."""
    eikonal_loss: Weight = 0.3
    """Weight of the squared difference between the length of the distance's gradient and one."""
    num_eikonal: bounded(int, 0, 2**20) = 512
    """Samples that need no colour at which this is asked for too."""
    template_loss: Weight = 1.0
    """Weight at the start of the squared distance between learned and fitted surface, in half widths of the shell;
    behind the wrist, where no ray counts, to the end."""
    template_until: Fraction = 0.3
    """Share of the training over which this fades to `offset_penalty`, which remains."""
    offset_penalty: Weight = 1e-3
    """Weight of the same to the end: what nobody sees stays where the fit has it."""
    object_searches: bounded(int, 1, 256) = 24
    """Places a ray at which a held object is looked for first."""
    part_loss: Weight = 0.1
    """Weight of the binary cross-entropy between the object's share of the opacity and its mask."""
    contact_loss: Weight = 1.0
    """Weight of the squared depth of skin in the object, in half widths of the shell."""
    attraction_loss: Weight = 0.0
    """Weight of how far skin is from the object that is within a half width of the shell, likewise."""


class HandSDFModel(HandAvatarModel):
    """Hand avatar whose surface is the zero level of a network.

    The opacity of a ray between two samples is what a logistic distribution of the surface round the zero level gives,
    so that it does not depend on how far apart they are.
    """

    config: HandSDFModelConfig
    field: HandSDFField
    held: HeldObject | None
    """What the hand holds, where the capture has masks or poses of it."""

    def make_hands(self, avatar: AvatarData) -> PosedFineHands:
        config = self.config
        hands = PosedFineHands(avatar, config.subdivisions, refine=config.refine_poses, pose_code=config.pose_code)
        if not config.light_transfer:
            hands.light_levels = 0
        self.excess = smooth_excess(avatar, hands)
        return hands

    def make_position_encoding(self, avatar: AvatarData) -> CanonicalEncoding:
        hands = self.hands
        self.skinning = NearestSkinning(CanonicalHands(hands.surface, hands.shape, hands.displacement))
        rest = torch.stack([rest_joints(hand, hands.shape[None])[0] for hand in hands.surface.hands])
        self.register_buffer("rest_joints", rest, persistent=False)
        canonical = self.skinning.hands.canonical
        low, high = canonical.amin(dim=0) - MARGIN, canonical.amax(dim=0) + MARGIN
        return CanonicalEncoding(low, high, resolutions=self.config.resolutions, channels=self.config.channels)

    def make_field(self, avatar: AvatarData, implementation: Literal["tcnn", "torch"]) -> HandSDFField:
        found = self.config.sdf_field.setup(
            position=self.make_position_encoding(avatar),
            kinematic=self.config.space == "posed",
            shell=self.config.shell,
            pose_dim=self.hands.code_dim,
            light_dim=self.hands.light_dim,
            hidden_dim=self.config.hidden_dim,
            implementation=implementation,
            distance_in_world=self.distance_in_world,
        )
        self.template_weight = self.config.template_loss
        self.held = None if avatar.object_pose is None else self.make_held_object(avatar, implementation)
        return found

    def make_held_object(self, avatar: AvatarData, implementation: Literal["tcnn", "torch"]) -> HeldObject:
        """The object, and switches by which the viewer shows each part alone."""
        config = self.config
        self.learned_labels, self.part_names = (PixelLabel.HAND, PixelLabel.OBJECT), ("object_accumulation",)
        self.show_hand, self.show_object = (ViewerCheckbox(f"Show {name}", True) for name in ("hand", "object"))
        thing = HeldObjectField(
            config.sdf_field,
            radius=avatar.object_radius,
            kinematic=config.space == "posed",
            resolutions=config.resolutions,
            channels=config.channels,
            hidden_dim=config.hidden_dim,
            implementation=implementation,
        )
        return HeldObject(avatar, self.hands, thing)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = super().get_param_groups()
        network, things = list(self.field.network.parameters()), []
        if self.held is not None:
            things = list(self.held.field.parameters())
            network += self.held.field.network.parameters()
            groups["object_poses"] = [self.held.deltas]
        own = {id(parameter) for parameter in network}
        colors = [parameter for parameter in [*groups["fields"], *things] if id(parameter) not in own]
        return {**groups, "fields": colors, "distance": network}

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def fade(share: float) -> None:
            left = max(0.0, 1 - share / self.config.template_until)
            self.template_weight = left * self.config.template_loss + self.config.offset_penalty

        return [*super().get_training_callbacks(attributes), self.before_each_step(attributes, fade)]

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Adds, where an object is held, `object_accumulation` [R, 1] and `parts` [R, 3]: hand red, object blue."""
        outputs = super().get_outputs(ray_bundle)
        if self.held is not None:
            thing = outputs["object_accumulation"]
            outputs["parts"] = torch.cat([outputs["accumulation"] - thing, torch.zeros_like(thing), thing], dim=-1)
        return outputs

    def surface_points(
        self,
        points: Float[Tensor, "N 3"],
        surface: Int[Tensor, "N"],
        face: Int[Tensor, "N"],
        barycentric: Float[Tensor, "N 3"],
        height: Float[Tensor, "N"],
        posed: PosedSurfaces,
    ) -> Tuple[SkeletonPoints, None]:
        """What the field is asked with; arguments as in `HandAvatarModel.surface_points`."""
        at = (surface, face, barycentric)
        normal = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        nearest = posed.interpolate(posed.surfaces.vertices, *at)
        offset = points - nearest
        outward = torch.where(
            offset.norm(dim=-1, keepdim=True) > 1e-6, F.normalize(offset, dim=-1) * height.sign()[:, None], normal
        )
        turn = posed.interpolate(self.skinning.vertex_turns(posed.bones), *at).unflatten(-1, (3, 3))
        canonical = place = self.skinning.undo(turn, offset, face, barycentric)
        bones = None
        if self.config.space == "posed":
            hand = self.skinning.hands.face_hand[face]
            frames = bone_frames(posed.bones, self.rest_joints)
            wrist = frames[..., 0, :, :]
            turn = wrist[surface, hand][:, :3, :3]
            place = in_frames(points, wrist[surface, hand][:, None])[:, 0]
            bones = (torch.linalg.inv(wrist)[..., None, :, :] @ frames)[surface, hand]
        light = posed.interpolate(posed.light, *at)
        skin = (face, barycentric, height, normal, light, canonical)
        return SkeletonPoints(*skin, place=place, turn=turn, outward=outward, bones=bones), None

    def distances(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Tuple[SkeletonPoints, Geometry, Float[Tensor, "N"], Bool[Tensor, "N"]]:
        """Places, what the network says of them on the hand, signed distances in metres of the nearer of hand and
        object, and whether this belongs to what is shown and not to the forearm. Beyond the shell distances are those
        of the fitted surface."""
        there, geometry, distance, of_hand = self.hand_distances(points, surface, posed)
        if self.held is None:
            return there, geometry, distance, of_hand
        thing = self.held.points(points, surface, posed, kinematic=self.config.space == "posed")
        away, _ = self.held.field.form(thing)
        if not self.training:
            distance, away = (
                value if switch.value else value.abs() + HIDDEN
                for value, switch in ((distance, self.show_hand), (away, self.show_object))
            )
        nearer = away < distance
        there = replace(there, held=replace(thing, nearer=nearer))
        return there, geometry, torch.minimum(distance, away), of_hand | nearer

    def hand_distances(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Tuple[SkeletonPoints, Geometry, Float[Tensor, "N"], Bool[Tensor, "N"]]:
        """The same of the hand alone."""
        near = posed.surfaces.closest(points, surface)
        num_faces = posed.surfaces.num_own_faces
        face = near.face.clamp(0, num_faces - 1)
        of_hand = (near.face < num_faces) & self.hands.surface.face_is_hand[face]
        # What closes the wrist is no skin, and has no place that the network knows.
        learned = (near.signed_distance.abs() <= self.config.shell) & (near.face < num_faces)
        height = near.signed_distance / self.config.shell
        there, _ = self.surface_points(points, surface, face, near.barycentric, height, posed)
        # The fit has seen flat faces, and none that bulge.
        height = height + self.excess / self.config.shell
        there = replace(there, height=height)
        shift, features = self.field.form(there, posed.code[surface])
        distance = (height + torch.where(learned, shift, 0.0)) * self.config.shell
        return there, Geometry(shift, features[:, :0], features), distance, of_hand

    def sample(self, rays: RayBundle, posed: PosedSurfaces) -> ShellSamples:
        """Samples where the surface is now: the wider it is, the further round it."""
        config = self.config
        samples = self.march(rays, posed, config.num_searches)
        if self.held is not None:
            thing = self.held.march(rays, posed, config.object_searches, jitter=self.training)
            thing = self.narrowed(thing, config.num_searches, rays, posed, self.object_distances)
            samples = merged(samples, thing, len(rays.origins))
        return self.narrowed(samples, config.num_samples, rays, posed, self.distances)

    def narrowed(
        self, samples: ShellSamples, count: int, rays: RayBundle, posed: PosedSurfaces, distances: Callable
    ) -> ShellSamples:
        """As many samples a ray as wanted, drawn from where the surface is likely to be.

        Args:
            samples: where it is looked for.
            count: samples a ray.
            rays: the rays.
            posed: the posed surfaces.
            distances: which surface: `distances` or the like.
        """
        ray, depth = samples.ray, samples.depth
        if not len(ray):
            return ShellSamples(ray, depth[:, :count], depth[:, :count])
        with torch.no_grad():
            *_, distance, counts = distances(*points_on(rays, ray, depth, posed), posed)
            distance, counts = distance.view_as(depth), counts.view_as(depth)
            if not self.training:
                # A distance changes by no more than the way walked: the other rays pass by.
                reach = depth.diff(dim=1).amax(dim=1, keepdim=True) + CLEAR * self.log_thickness.exp()
                meets = (distance < reach).any(dim=1)
                ray, depth, distance, counts = ray[meets], depth[meets], distance[meets], counts[meets]
            # The places are further apart than the surface is wide: where it lies between two is told by distances.
            depth, distance = (between(values, CUTS) for values in (depth, distance))
            counts = torch.cat([counts[:, :1], counts[:, 1:].repeat_interleave(CUTS, dim=1)], dim=1)
            weights = self.section_weights(distance, counts)
            # One where nothing is left, and one where the ray first turns outward again, or else where it is deepest:
            # were all of them only a little below the surface, it would be moved outward for more opacity.
            dark = weights.cumsum(dim=1) > 1 - LEAST_LIGHT
            turns = F.pad((distance[:, :-1] < 0) & (distance.diff(dim=1) > 0), (0, 1))
            deepest = torch.where(counts, distance, torch.inf).argmin(dim=1)
            ends = [torch.where(there.any(dim=1), there.int().argmax(dim=1), deepest) for there in (dark, turns)]
            jitter = torch.rand(len(ray), count - 2, device=depth.device) if self.training else 0.5
            drawn = resample(depth, weights[:, 1:], count - 2, jitter)
            depth = torch.cat([drawn, depth.gather(1, torch.stack(ends, dim=1))], dim=1)
            return with_widths(ray, depth.sort(dim=1).values)

    def object_distances(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]:
        """Signed distances from the object alone, metres, and that all of it counts."""
        thing = self.held.points(points, surface, posed, kinematic=self.config.space == "posed")
        return self.held.field.form(thing)[0], thing.nearer

    def weigh(self, rays: RayBundle, samples: ShellSamples, posed: PosedSurfaces) -> Weighed:
        """What is seen of each section between samples is where in it the surface lies: a colour there says, however
        narrow the surface has become, whether the surface should be nearer or further."""
        ray, depth = samples.ray, samples.depth
        _, _, distance, counts = self.distances(*points_on(rays, ray, depth, posed), posed)
        distance, counts = distance.view_as(depth), counts.view_as(depth)
        weight = self.section_weights(distance, counts)
        depth = crossings(depth, distance)
        seen = self.seen(weight.flatten())
        points, surface = points_on(rays, ray[seen // depth.shape[1]], depth.flatten()[seen, None], posed)
        places, geometry, _, _ = self.distances(points, surface, posed)
        return Weighed(depth, weight, seen, places, geometry)

    def parts(self, places: SkeletonPoints) -> Dict[str, Float[Tensor, "N 1"]]:
        return {} if places.held is None else {"object_accumulation": places.held.nearer[:, None].float()}

    def section_weights(self, distance: Float[Tensor, "M S"], counts: Bool[Tensor, "M S"]) -> Float[Tensor, "M S"]:
        """Share of each ray's light that comes from before each sample and from behind the previous one.

        With the logistic distribution function P over the width, a section lets through P(next) / P(previous), or all
        where the ray leaves the surface (NeuS, equation 13).
        """
        open_share = F.logsigmoid(distance / self.log_thickness.exp())
        steps = torch.cat([open_share[:, :1], open_share.diff(dim=1)], dim=1)
        both = counts & torch.cat([counts[:, :1], counts[:, :-1]], dim=1)
        passed = torch.where(both, steps, 0.0).clamp(max=0).cumsum(dim=1).exp()
        return torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1) - passed

    def seen(self, weights: Float[Tensor, "P"]) -> Int[Tensor, "N"]:
        """Samples that weigh something, and in training some more for what is asked of all of space."""
        chosen = weights > LEAST_WEIGHT
        if self.training and len(weights):
            chosen = chosen.scatter(0, torch.randint(len(weights), (self.config.num_eikonal,)).to(weights.device), True)
        return torch.nonzero(chosen)[:, 0]

    def look(
        self,
        places: SkeletonPoints,
        geometry: Geometry,
        directions: Float[Tensor, "N 3"],
        pose_code: Float[Tensor, "N C"],
    ) -> Tuple[SkeletonPoints, SlopedGeometry, Radiance]:
        if places.held is None:
            return self.look_at_hand(places, directions, pose_code)
        hand, thing = (torch.nonzero(part)[:, 0] for part in (~places.held.nearer, places.held.nearer))
        _, sloped, skin = own = self.look_at_hand(places[hand], directions[hand], pose_code[hand])
        field, there = self.held.field, places.held[thing]
        slope, features = field.sloped(there, create_graph=self.training)
        normal = F.normalize(slope, dim=-1)
        looks = field.radiance(there, features, normal, directions[thing])
        order = torch.cat([hand, thing]).argsort()
        radiance = Radiance(*(torch.cat([getattr(part, name) for part in (skin, looks)])[order] for name in RADIANCE))
        places = replace(places, normal=torch.cat([own[0].normal, normal])[order])
        # Of the hand only what its own losses need: nobody asks which slope is whose.
        return places, replace(sloped, slope=torch.cat([sloped.slope, slope])), radiance

    def look_at_hand(
        self, places: SkeletonPoints, directions: Float[Tensor, "N 3"], pose_code: Float[Tensor, "N C"]
    ) -> Tuple[SkeletonPoints, SlopedGeometry, Radiance]:
        """Colour of samples on the hand, with the normals of the learned surface."""
        sloped = self.field.sloped(places, pose_code)
        places = replace(places, normal=F.normalize(sloped.slope, dim=-1))
        return places, sloped, self.field.radiance(places, sloped, directions)

    def penalty(self, geometry: SlopedGeometry, radiance: Radiance, posed: PosedSurfaces) -> Float[Tensor, ""]:
        config = self.config
        terms = [super().penalty(geometry, radiance, posed)]
        if len(geometry.shift):
            terms.append((self.template_weight - config.offset_penalty) * geometry.shift.square().mean())
        if len(geometry.slope):
            terms.append(config.eikonal_loss * (geometry.slope.norm(dim=-1) - 1).square().mean())
        if self.held is not None:
            terms.append(config.smoothness_penalty * self.held.field.planes.total_variation())
        terms.append(self.skin_penalty(posed))
        return torch.stack(terms).sum()

    def skin_penalty(self, posed: PosedSurfaces) -> Float[Tensor, ""]:
        """What is asked of all skin, seen or not: to be where the fit has it, behind the wrist, where no ray counts,
        strictly; and neither in the object nor, if wanted, near it without touching. With the weights."""
        config, vertices = self.config, posed.surfaces.vertices
        chosen = torch.randint(vertices.shape[1], (NUM_SKIN_POINTS,), device=vertices.device)
        surface = torch.arange(len(vertices), device=vertices.device).repeat_interleave(NUM_SKIN_POINTS)
        points, normals = (values[:, chosen].flatten(0, 1) for values in (vertices, posed.normals))
        _, geometry, _, of_hand = self.hand_distances(points, surface, posed)
        weight = torch.where(of_hand, config.offset_penalty, config.template_loss)
        found = (weight * geometry.shift.square()).mean()
        if self.held is None:
            return found
        skin = points - (self.excess + config.shell * geometry.shift[:, None]) * normals
        away = self.object_distances(skin, surface, posed)[0] / config.shell
        inside, near = away.clamp(max=0), torch.where((away > 0) & (away < 1), away, 0.0)
        return found + config.contact_loss * inside.square().mean() + config.attraction_loss * near.mean()

    def compared_colors(self, outputs: Dict[str, Tensor], truth: Float[Tensor, "R 3"]) -> Dict[str, Tensor]:
        """Colours over those of the picture: over black they would draw the surface outward in every pixel of the hand
        that its outline cuts."""
        behind = (1 - outputs["accumulation"]) * truth
        return {name: outputs[name] + behind for name in ("rgb", "diffuse") if name in outputs}

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config = self.config
        loss = super().get_loss_dict(outputs, batch, metrics_dict)
        if config.cover_loss > 0:
            shown, truth = self.learns(batch["hand_label"].view(-1).to(self.device)), batch["image"].to(self.device)
            loss["cover"] = config.cover_loss * color_loss(outputs["rgb"][shown], truth[shown], config.huber_delta)
        if self.held is not None:
            label = batch["hand_label"].view(-1).to(self.device)
            known = self.learns(label) | (label == PixelLabel.BACKGROUND)
            found = outputs["object_accumulation"].view(-1)[known]
            loss["part"] = config.part_loss * opacity_loss(found, label[known] == PixelLabel.OBJECT)
        return loss

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: ImageBatch
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """Adds, where an object is held, `object_psnr_calibrated` of its pixels, `object_iou` and the image `parts`."""
        metrics, images = super().get_image_metrics_and_images(outputs, batch)
        if self.held is None:
            return metrics, images
        label = batch["hand_label"][..., 0].to(self.device)
        truth, thing, found = (
            batch["image"].to(self.device),
            label == PixelLabel.OBJECT,
            outputs["object_accumulation"][..., 0],
        )
        known = self.learns(label) | (label == PixelLabel.BACKGROUND)
        both = thing | (found > COVERED)
        covered = thing & (found > COVERED)
        calibrated = calibrate_colors(outputs["radiance"], truth, covered, outputs["accumulation"][..., 0])
        metrics["object_psnr_calibrated"] = psnr(calibrated, truth, thing)
        metrics["object_iou"] = float((covered & known).sum() / (both & known).sum().clamp(min=1))
        images["parts"] = outputs["parts"]
        return metrics, images

    # Export ---------------------------------------------------------------------------------------------------------

    def export_source(self) -> ExportSource:
        distance = DistanceSource(self.distance_beside, self.skinning, self.config.shell)
        held = self.held
        if held is not None:
            held = HeldObjectSource(held.field.radius, held.poses, self.object_distance_beside, self.object_colors)
        return ExportSource(self.hands, self.surface_colors, distance=distance, held=held)

    def surface_colors(self, pose: HandPose) -> ColorFn:
        """Colours near the hands in a pose [1, H, ...] of the capture's world, without the view-dependent part."""
        posed = self.hands.at_pose(pose)

        @torch.no_grad()
        def color(points: Float[Tensor, "N 3"], *_: Tensor) -> Float[Tensor, "N 3"]:
            zero = torch.zeros(len(points), dtype=torch.long, device=points.device)
            places, *_ = self.hand_distances(points, zero, posed)
            *_, radiance = self.look_at_hand(places, -places.outward, posed.code[zero])
            return self.mean_exposure(radiance.diffuse)

        return color

    def object_colors(self, points: Float[Tensor, "N 3"], posed: PosedSurfaces) -> Float[Tensor, "N 3"]:
        """Colours of the object beside one posed surface, likewise; nerfstudio's world."""
        zero = torch.zeros(len(points), dtype=torch.long, device=points.device)
        there = self.held.points(points, zero, posed, kinematic=self.config.space == "posed")
        slope, features = self.held.field.sloped(there, create_graph=False)
        normal = F.normalize(slope, dim=-1)
        return self.mean_exposure(self.held.field.radiance(there, features, normal, -normal).diffuse)

    def distance_beside(self, points: Float[Tensor, "N 3"], posed: PosedSurfaces) -> Float[Tensor, " N"]:
        """Signed distance from the hands of one posed surface, metres, see `distance_at`."""
        return self.distance_at(points, torch.zeros(len(points), dtype=torch.long, device=points.device), posed)

    def object_distance_beside(self, points: Float[Tensor, "N 3"], posed: PosedSurfaces) -> Float[Tensor, " N"]:
        """Signed distance from the object beside one posed surface, metres."""
        return self.object_distances(points, torch.zeros(len(points), dtype=torch.long, device=points.device), posed)[0]

    @torch.no_grad()
    def distance_in_world(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Signed distance from hands and object in the pose that rays of no frame see, metres; the wrist is closed.

        Args:
            points: nerfstudio's world.
        """
        found = [points[:0, 0]]
        for part in points.split(POINTS_AT_ONCE):
            rays = RayBundle(origins=part, directions=part, pixel_area=part[:, :1])
            posed = self.hands.for_rays(rays)
            distance = self.distance_at(part, posed.ray_surface, posed)
            if self.held is not None:
                distance = torch.minimum(distance, self.object_distances(part, posed.ray_surface, posed)[0])
            found.append(distance)
        return torch.cat(found)

    @torch.no_grad()
    def distance_at(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Float[Tensor, " N"]:
        """Signed distance from hands, metres: beyond the shell that of the fitted surface, which no network need tell.

        Args:
            points: nerfstudio's world.
            surface: which surface each point belongs to.
            posed: the posed surfaces.
        """
        fitted = posed.surfaces.closest(points, surface).signed_distance
        near = torch.nonzero(fitted.abs() < self.config.shell)[:, 0]
        _, _, distance, _ = self.hand_distances(points[near], surface[near], posed)
        # In the crease of a bent finger faces of the fit cross, and the nearest may look the wrong way.
        inside = posed.surfaces.inside(points, surface)
        covered = inside != (fitted < 0)
        found = (fitted + self.excess).index_copy(0, near, distance)
        return torch.where(covered, torch.where(inside, -fitted.abs(), fitted.abs()), found)


def crossings(depth: Float[Tensor, "M S"], distance: Float[Tensor, "M S"]) -> Float[Tensor, "M S"]:
    """Where in the section that ends at each depth the surface lies, were the distance linear in between; the nearer
    end of those it does not cross, and of the first, which starts nowhere, its end.

    Args:
        depth: Not decreasing along a ray.
        distance: Signed distances there; the result is differentiable in these.
    """
    length = depth.diff(dim=1)
    # Along the surface where it is grazed a small change of it would be a large one of the place.
    fall = torch.maximum(distance[:, :-1] - distance[:, 1:], GRAZING * length).clamp(min=1e-9)
    inner = depth[:, :-1] + length * (distance[:, :-1] / fall).clamp(0, 1)
    return torch.cat([depth[:, :1], inner], dim=1)


def between(values: Float[Tensor, "M C"], cuts: int) -> Float[Tensor, "M cuts*(C-1)+1"]:
    """Each row with `cuts - 1` more values between any two, linearly."""
    size = cuts * (values.shape[1] - 1) + 1
    return F.interpolate(values[:, None], size=size, mode="linear", align_corners=True)[:, 0]


def resample(
    depth: Float[Tensor, "M C"], weights: Float[Tensor, "M C-1"], count: int, jitter: Float[Tensor, "M count"] | float
) -> Float[Tensor, "M count"]:
    """Depths drawn from the sections between depths, and from their neighbours, in proportion to their weights.

    Args:
        depth: Not decreasing along a ray.
        weights: Of each section.
        count: Samples a ray.
        jitter: Place of each sample in its stratum, in [0, 1).
    """
    # A surface at the edge of a section may as well be in the next.
    wide = F.max_pool1d(F.pad(weights, (1, 1))[:, None], 3, stride=1)[:, 0]
    wide = wide / wide.sum(dim=1, keepdim=True).clamp(min=1e-6)
    share = (1 - EVEN_SHARE) * wide + EVEN_SHARE / weights.shape[1]
    reached = F.pad(share.cumsum(dim=1), (1, 0))
    wanted = (torch.arange(count, device=depth.device) + jitter) / count * reached[:, -1:]
    section = torch.searchsorted(reached, wanted.contiguous(), right=True).clamp(1, weights.shape[1])
    low, high = (reached.gather(1, section - side) for side in (1, 0))
    start, end = (depth.gather(1, section - side) for side in (1, 0))
    return start + (end - start) * (wanted - low) / (high - low).clamp(min=1e-9)
