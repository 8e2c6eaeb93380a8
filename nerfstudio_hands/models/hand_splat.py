"""`hand-splat`: Gaussians on the posed surface of the hand, drawn in real time, after GaussianAvatars (CVPR 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, Tuple, Type

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.viewer.viewer_elements import ViewerCheckbox
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fields.surface_splats import SurfaceSplats
from nerfstudio_hands.fields.vertex_look import VertexLook
from nerfstudio_hands.geometry.face_frames import FaceFrames
from nerfstudio_hands.geometry.splats.compositing import Rasterizer, composite
from nerfstudio_hands.geometry.splats.draw import draw_splats
from nerfstudio_hands.geometry.splats.gsplat_backend import require_gsplat
from nerfstudio_hands.geometry.splats.surface import see_splats
from nerfstudio_hands.geometry.topology import edges
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.compositing import with_parts
from nerfstudio_hands.model_components.export_source import ColorFn, ExportSource, HeldSplatRig, SplatCloud, SplatRig
from nerfstudio_hands.model_components.held_splats import HeldSplats
from nerfstudio_hands.model_components.image_losses import (
    coverage_loss,
    on_boundary_of,
    part_loss,
    perceptual_window_loss,
)
from nerfstudio_hands.model_components.losses import color_loss, supervised_mask
from nerfstudio_hands.model_components.optimizer_state import follow_rows
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.model_components.posed_splats import PosedSplats, pose_splats, splat_colors, with_held
from nerfstudio_hands.model_components.rasterization import Window, bends, image_rays, pinhole_rays, window_round
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig
from nerfstudio_hands.program.memory import explain_out_of_memory, now
from nerfstudio_hands.program.option_range import Weight, bounded


@dataclass
class HandSplatModelConfig(PosedHandModelConfig):
    """Choices of `hand-splat`."""

    _target: Type = field(default_factory=lambda: HandSplatModel)
    """target class to instantiate"""
    splats_per_hand: bounded(int, 16, 10**6) = 20_000
    """Gaussians a hand."""
    object_splats: bounded(int, 16, 10**6) = 10_000
    """Gaussians of what the hands hold, where the capture has masks or poses of it."""
    densify_at: bounded(Tuple[float, ...], 0, 1) = (0.1, 0.3)
    """Parts of the training after which Gaussians are dealt out anew over the hand, denser where pictures show more
    than they do and thinner elsewhere."""
    shell: bounded(float, 0.0005, 0.05) = 0.005
    """Half width in meters of the shell round the fitted surface that no Gaussian leaves."""
    pose_code: bool = True
    """Correct places and colors by the pose, where the training frames show more than one."""
    light_transfer: bool = True
    """Let Gaussians be as bright as the light that reaches them in a pose: shading then holds in new poses."""
    rasterizer: Rasterizer = "warp"
    """What lays Gaussians over each other: the project's own kernels, everywhere, or gsplat's, on CUDA alone (untried).
    Checkpoints are the same."""
    color_loss_weight: Weight = 2.0
    """Weight of the color of pixels of hand and object (Huber; one-sided where a picture is saturated)."""
    mask_loss_weight: Weight = 0.4
    """Weight of the squared difference between coverage and mask."""
    mask_boundary: bool = False
    """Let the pixels along a mask's boundary count, too: for masks that are right to the pixel in all cameras, as drawn
    ones are. Where they are not the surface then lies inside of the skin."""
    part_loss_weight: Weight = 0.1
    """Weight of the squared difference between the object's part of coverage and its mask."""
    view_loss_weight: Weight = 1e-2
    """Weight of the squared view-dependent part of the color."""
    offset_loss_weight: Weight = 1e-2
    """Weight of the squared distance between vertices and fitted surface, in half widths of the shell."""
    height_loss_weight: Weight = 1.0
    """Weight of the squared distance between Gaussians and the surface through the vertices, in the same unit."""
    detail_loss_weight: Weight = 0.5
    """Weight of the squared difference between the color of a Gaussian and that of its vertices."""
    smooth_loss_weight: Weight = 3.0
    """Weight of the squared difference between heights and colors of vertices that an edge joins: what few pictures
    show looks like what lies round it."""
    corrective_loss_weight: Weight = 1e-2
    """Weight of the squared corrections by the pose."""

    def training_remedy(self, data: HandDataManagerConfig) -> str:
        return (
            f"lower --max-resolution of the data parser{now(data.dataparser.max_resolution)}, or start anew with a "  # pyright: ignore[reportAttributeAccessIssue]
            f"lower --pipeline.model.splats-per-hand{now(self.splats_per_hand)}"
        )

    def rendering_remedy(self) -> str:
        count = now(self.splats_per_hand)
        return f"render smaller pictures, or train with a lower --pipeline.model.splats-per-hand{count}"


class HandSplatModel(PosedHandModel):
    """Gaussians on the faces of the hand model, carried by its skinning, and free ones of what the hands hold, carried
    by its pose; whole pictures are drawn."""

    config: HandSplatModelConfig
    edges: Tensor
    held: HeldSplats | None
    """What the hands hold."""

    def make_hands(self, avatar: AvatarData) -> PosedHands:
        return PosedHands(
            avatar,
            refine=self.config.refine_poses,
            pose_code=self.config.pose_code,
            casts_light=self.config.light_transfer,
        )

    def populate_modules(self):
        super().populate_modules()
        config, surface = self.config, self.hands.surface
        if config.rasterizer == "gsplat":
            require_gsplat(torch.device(self.kwargs.get("device", "cpu")))
        rest = surface.pose(HandPose.rest(surface.num_hands), self.hands.shape, self.hands.displacement).vertices
        self.frames = FaceFrames(rest, surface.faces)
        self.splats = SurfaceSplats(
            rest,
            surface.faces,
            surface.face_is_hand,
            count=config.splats_per_hand * surface.num_hands,
            shell=config.shell,
        )
        self.register_buffer("edges", edges(surface.faces)[0], persistent=False)
        self.look = VertexLook(len(rest), light_dim=self.hands.light_dim, code_dim=self.hands.code_dim)
        if self.avatar.object_pose is None:
            self.held = None
            return
        self.held = HeldSplats(self.avatar, self.hands, config.object_splats)
        self.show_hand, self.show_object = ViewerCheckbox("Show hand", True), ViewerCheckbox("Show object", True)

    @property
    def learned_labels(self) -> Tuple[int, ...]:
        return (PixelLabel.HAND,) if self.held is None else (PixelLabel.HAND, PixelLabel.OBJECT)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        splats = self.splats
        groups = {
            "splat_places": [splats.place, splats.height],
            "splat_shapes": [splats.size, splats.turn],
            "splat_opacities": [splats.opacity],
            "splat_colors": [splats.color],
            "splat_views": [splats.view],
            "vertices": [self.look.base],
        }
        if len(self.look.light):
            groups["light"] = [self.look.light]
        if len(self.look.correctives):
            groups["correctives"] = [self.look.correctives]
        if self.held is not None:
            free = self.held.splats
            groups["object_places"] = [free.mean]
            groups["object_poses"] = [self.held.deltas]
            groups["splat_shapes"] += [free.log_half_axes, free.quaternion]
            groups["splat_opacities"] += [free.opacity]
            groups["splat_colors"] += [free.color]
            groups["splat_views"] += [free.view]
        return {**groups, **super().get_param_groups()}

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders the pinhole rays of a picture [H, W].

        Returns:
            `rgb` over black, outside training held in [0, 1]; `radiance`, the same unbounded above; `accumulation`; in
            training the scalar `penalty`. Else `depth` along the unit ray in meters, beyond the scene where more is
            seen through than met, and `normals` in [0, 1]. Where an object is held also `object_accumulation` and
            `parts`, hand red, object blue.

        Raises:
            HandsError: The rays are single ones.
        """
        if ray_bundle.ndim != 2:
            raise HandsError(
                "hand-splat: expected the rays of a picture, found single ones: Gaussians are drawn, not met by rays; "
                "use a command that renders pictures, or `ns-hands export`."
            )
        camera = self.cameras.of(ray_bundle)
        rays = self.cameras.correct(ray_bundle, camera)
        pinhole = pinhole_rays(rays)
        # A picture shows one moment, which its first ray knows.
        posed = self.hands.for_rays(rays[:1, :1].flatten())
        shown = self.show_all(posed, posed.first_surface())
        if self.training and shown.splats.means.requires_grad:
            shown.splats.means.register_hook(self._watch)
        # A picture is of one camera.
        camera = None if camera is None else camera[0, :1]
        found, accumulation = self.draw(shown, *pinhole, camera)
        radiance = found[..., :3]
        result = {"rgb": radiance, "radiance": radiance, "accumulation": accumulation}
        if self.held is not None:
            result = with_parts(result, found[..., -1:])
        if self.training:
            return {**result, "penalty": self.common_penalty() + self.splat_penalty()}
        met = accumulation > 0.5
        depth = found[..., 3:4] / accumulation.clamp(min=0.5)
        return {
            **result,
            "rgb": radiance.clamp(0, 1),
            "depth": torch.where(met, depth, self.beyond_scene(rays.origins[:1, :1])),
            "normals": (F.normalize(found[..., 4:7], dim=-1) + 1) / 2,
        }

    def draw(
        self,
        shown: PosedSplats,
        origins: Float[Tensor, "H W 3"],
        directions: Float[Tensor, "H W 3"],
        camera: Int[Tensor, "1"] | None,
    ) -> Tuple[Float[Tensor, "H W C"], Float[Tensor, "H W 1"]]:
        """Colors as a camera records them, outside training also distances and normals, where an object is held last of
        all one for what is of it, weighted by coverage; and this.

        What a camera makes of light is linear: the same of each Gaussian as of their sum.
        """
        if not torch.is_grad_enabled():
            lit = (shown.normals, shown.diffuse, shown.view, torch.cat(self.exposure(camera)))
            projected, features = see_splats(shown.splats, *lit, origins, directions)
            if self.held is not None:
                features[:, -1:] = shown.of_held()
            height, width = directions.shape[:2]
            return composite(projected, features, width, height, rasterizer=self.config.rasterizer)
        opaque = torch.ones_like(shown.diffuse[:, :1])
        features = [self.cameras.respond(shown.colors(origins[0, 0]), opaque, camera)]
        if not self.training:
            features += [(shown.splats.means - origins[0, 0]).norm(dim=-1, keepdim=True), shown.normals]
        if self.held is not None:
            features.append(shown.of_held())
        rasterizer = self.config.rasterizer
        return draw_splats(shown.splats, torch.cat(features, dim=-1), origins, directions, rasterizer=rasterizer)

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> Dict[str, Tensor]:
        """Renders a camera's picture; a box to crop to has no effect, as for all methods that draw whole pictures."""
        camera = camera.to(self.device)
        with explain_out_of_memory("rendering", self.config.rendering_remedy()):
            # A corrected camera sees something else.
            if self.training or self.config.refine_cameras or bends(camera):
                return self.get_outputs(image_rays(camera))
            # One ray knows the moment.
            posed = self.hands.for_rays(image_rays(camera, Window(0, 1, 0, 1)).flatten())
            shown, reach = posed.surfaces.vertices[posed.first_surface()], self.config.shell + self.splats.farthest()
            if self.held is not None:
                shown = torch.cat([shown, self.held.means(posed, posed.first_surface())])
                reach = max(reach, self.held.splats.farthest())
            window = window_round(shown, reach, camera)
            found = self(image_rays(camera, window))
            height, width = int(camera.height), int(camera.width)
            beyond = {"depth": self.beyond_scene(camera.camera_to_worlds.reshape(3, 4)[:, 3]), "normals": 0.5}
            return {
                name: window.framed(values, width, height, beyond.get(name, 0.0)) for name, values in found.items()
            }

    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders a picture [H, W] as a whole."""
        return self.get_outputs(camera_ray_bundle)

    def show(self, posed: PosedSurfaces, surface: int = 0) -> PosedSplats:
        """The Gaussians on one of the posed surfaces."""
        return pose_splats(self.splats, self.look, self.frames, posed, surface)

    def show_all(self, posed: PosedSurfaces, surface: int) -> PosedSplats:
        """These, and those of what the hands hold; outside training without what the viewer's switches hide."""
        shown = self.show(posed, surface)
        if self.held is None:
            return shown
        parts = (shown, self.held.show(posed, surface))
        switches = () if self.training else (self.show_hand, self.show_object)
        for part, switch in zip(parts, switches, strict=False):
            if not switch.value:
                part.splats = replace(part.splats, opacities=torch.zeros_like(part.splats.opacities))
        return with_held(*parts)

    @torch.no_grad()
    def export_source(self) -> ExportSource:
        gain, bias = self.exposure(None)
        held = None if self.held is None else HeldSplatRig(self.held.splats, self.held)
        return ExportSource(
            self.hands,
            self.surface_colors,
            splats=self.splat_cloud,
            held_splats=None if self.held is None else self.held_cloud,
            splat_rig=SplatRig(self.splats, self.look, gain[0], bias[0], held),
        )

    def exposure(self, camera: Int[Tensor, "1"] | None) -> Tuple[Float[Tensor, "1 3"], Float[Tensor, "1 3"]]:
        """Gain and bias of a camera, or of the mean one: what it makes of light is linear in it."""
        black, opaque = torch.zeros(1, 3, device=self.device), torch.ones(1, 1, device=self.device)
        bias = self.cameras.respond(black, opaque, camera)
        return self.cameras.respond(black + 1, opaque, camera) - bias, bias

    @torch.no_grad()
    def surface_colors(self, pose: HandPose) -> ColorFn:
        """Colors of the surface in a pose [1, H, ...] of the capture's world, see `ExportSource`."""
        return splat_colors(self.show(self.hands.at_pose(pose)), float(self.splats.spacing.mean()), self.mean_exposure)

    @torch.no_grad()
    def splat_cloud(self, pose: HandPose) -> SplatCloud:
        """The Gaussians in a pose [1, H, ...] of the capture's world, in the colors of the mean camera; those of hands
        that are not valid are left out."""
        there = self.hands.surface.vertex_valid(pose.valid)[0][self.frames.faces[self.splats.face, 0]]
        return SplatCloud(*(part[there] for part in self._cloud(self.show(self.hands.at_pose(pose))).tensors()))

    @torch.no_grad()
    def held_cloud(self, posed: PosedSurfaces) -> SplatCloud:
        """The Gaussians of what the hands of a posed surface hold, likewise.

        Raises:
            ValueError: They hold nothing.
        """
        if self.held is None:
            raise ValueError("expected hands that hold something")
        return self._cloud(self.held.show(posed, 0))

    def _cloud(self, shown: PosedSplats) -> SplatCloud:
        gain, bias = self.exposure(None)
        splats, linear = shown.splats, shown.linear() * gain
        return SplatCloud(splats.means, splats.axes, splats.opacities, shown.diffuse * gain + bias, linear)

    # Learning -------------------------------------------------------------------------------------------------------

    def _watch(self, pull: Float[Tensor, "N 3"]) -> None:
        self.splats.watch(pull[: len(self.splats)].norm(dim=-1))

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def densify(step: int) -> None:
            if dist.is_available() and dist.is_initialized():
                # Each process has seen other pictures.
                dist.all_reduce(self.splats.error)
            source = self.splats.deal_out(self.frames.faces)
            follow_rows(attributes.optimizers, self.splats.parameters(), source)  # pyright: ignore[reportArgumentType]

        steps = attributes.trainer.config.max_num_iterations
        at = tuple(round(part * steps) for part in self.config.densify_at)
        callback = TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], densify, iters=at)
        return [*super().get_training_callbacks(attributes), callback]

    def splat_penalty(self) -> Float[Tensor, ""]:
        """The regularizers, summed with their weights; here so that DDP sees every parameter used."""
        config = self.config
        splats, look = self.splats, self.look
        found = (
            config.offset_loss_weight * look.base[:, 0].square().mean()
            + config.height_loss_weight * splats.height.square().mean()
            + config.detail_loss_weight * splats.color.square().mean()
            + config.view_loss_weight * splats.view.square().mean()
            + config.smooth_loss_weight * look.base[self.edges].diff(dim=1).square().mean()
        )
        if len(look.correctives):
            found = found + config.corrective_loss_weight * look.correctives.square().mean()
        if self.held is not None:
            found = found + config.view_loss_weight * self.held.splats.view.square().mean()
        return found

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        width = self.splats.half_axes().mean() * 1000
        return {**super().get_metrics_dict(outputs, batch), "splat_mm": width}

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config, label, image = self.config, batch["hand_label"].to(self.device), batch["image"].to(self.device)
        shown = supervised_mask(label, self.learned_labels)[..., 0].nonzero(as_tuple=True)
        boundary = on_boundary_of(batch, self.device) if config.mask_boundary else {}
        coverage = coverage_loss(outputs["accumulation"], label, self.learned_labels, **boundary)
        loss = {
            "color": config.color_loss_weight * color_loss(outputs["rgb"][shown], image[shown], config.huber_delta),
            "mask": config.mask_loss_weight * coverage,
        }
        if self.perceptual is not None:
            found = perceptual_window_loss(self.perceptual, outputs["rgb"], image, label, self.learned_labels)
            loss["perceptual"] = config.perceptual_loss_weight * found
        if self.held is not None:
            loss["part"] = config.part_loss_weight * part_loss(outputs["object_accumulation"], label)
        if "penalty" in outputs:
            loss["penalty"] = outputs["penalty"]
        return loss
