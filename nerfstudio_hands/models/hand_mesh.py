"""`hand-mesh`: a detailed mesh with albedo, lit, by inverse rendering, after FMHR (AAAI 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Literal, Optional, Tuple, Type

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_hands.datamanagers.batch import RayBatch
from nerfstudio_hands.datamanagers.hand_datamanager import HandDataManagerConfig
from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fields.albedo_texture import AlbedoTexture
from nerfstudio_hands.fields.neural_shader import GBuffer
from nerfstudio_hands.fields.texture_size import check_texture_size
from nerfstudio_hands.fields.warps import uv_warp
from nerfstudio_hands.geometry.light.environment import Environment
from nerfstudio_hands.geometry.raster.visibility import Raster
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.hand_model.subdivided import levels_for
from nerfstudio_hands.labels import PixelLabel
from nerfstudio_hands.model_components.albedo_colors import albedo_colors
from nerfstudio_hands.model_components.displaced_mesh import DisplacedMesh
from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.image_losses import coverage_loss, on_boundary_of, perceptual_window_loss
from nerfstudio_hands.model_components.lighting import Lighting
from nerfstudio_hands.model_components.losses import color_loss
from nerfstudio_hands.model_components.mesh_drawing import (
    MattDrawing,
    MeshDrawing,
    matt_color,
    spread,
    surface_layers,
)
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.rasterization import antialias_layers, rasterize_hands
from nerfstudio_hands.model_components.schedules import before_each_step
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import Fraction, Weight, bounded
from nerfstudio_hands.viewer.light_controls import LightControls


@dataclass
class HandMeshModelConfig(PosedHandModelConfig):
    """Choices of `hand-mesh`."""

    _target: Type = field(default_factory=lambda: HandMeshModel)
    """target class to instantiate"""
    subdivisions: bounded(Optional[int], 0, 6) = None
    """How often each face of the hand model is cut in four; by default so that a hand has about 50,000 vertices."""
    texture_size: bounded(int, 16, 8192) = 512
    """Texels along the height of the albedo texture, a power of two; as many along each hand's width."""
    lighting: Literal["shared", "per-camera"] = "shared"
    """Whether all cameras see the hand under the same light, or each has its own (as FMHR has)."""
    displace_from: Fraction = 0.2
    """Share of the training after which the surface moves; before, only albedo and light are learned."""
    smoothing: bounded(float, 0, 1e4) = 12.0
    """How far a step of one vertex takes its neighbors along (lambda of Nicolet et al. 2021)."""
    color_loss_weight: Weight = 2.0
    """Weight of the color of hand pixels (Huber; one-sided where a picture is saturated)."""
    mask_loss_weight: Weight = 1.0
    """Weight of the squared difference between coverage and mask."""
    mask_boundary: bool = False
    """Let the pixels along a mask's boundary count, too: the surface is finer where masks of all cameras are right to
    the pixel, as rendered ones are, and lies inside of the skin where they are not."""
    laplacian_loss_weight: Weight = 0.03
    """Weight of the squared bending of the displacement: keeps noise of the pictures out of the surface."""
    normal_loss_weight: Weight = 0.003
    """Weight of the normal consistency of neighboring faces."""
    edge_loss_weight: Weight = 0.03
    """Weight of the squared relative change of the edges' lengths: keeps faces from folding over and sliding."""
    displacement_loss_weight: Weight = 2e-4
    """Weight of the squared displacement in millimeters: where pictures say nothing, the surface stays."""
    albedo_loss_weight: Weight = 1e-3
    """Weight of the squared difference of neighboring texels."""
    seam_loss_weight: Weight = 0.1
    """Weight of the squared difference of the albedo across the seams of the texture atlas."""

    def training_remedy(self, data: HandDataManagerConfig) -> str:
        return (
            f"lower --max-resolution of the data parser{now(data.dataparser.max_resolution)}, or start anew with a "  # pyright: ignore[reportAttributeAccessIssue]
            f"lower --pipeline.model.subdivisions{now(self.subdivisions)} or "
            f"--pipeline.model.texture-size{now(self.texture_size)}"
        )

    def rendering_remedy(self) -> str:
        return f"render smaller pictures, or train with a lower --pipeline.model.subdivisions{now(self.subdivisions)}"


class HandMeshModel(PosedHandModel):
    """A subdivided hand model whose vertices are displaced in the rest pose, with an albedo texture and a light.

    All frames share displacement, albedo and light, so that the result can be posed. A matt surface is lit from far
    away: color is albedo times irradiance over pi, times the camera's gain.
    """

    config: HandMeshModelConfig
    hands: PosedFineHands
    rest_vertices: Tensor
    face_uv: Tensor
    shows: Tensor
    face_is_hand: Tensor
    can_be_relit = True

    def make_hands(self, avatar: AvatarData) -> PosedFineHands:
        levels = self.config.subdivisions
        if levels is None:
            levels = levels_for(avatar.surface.hands[0])
        return PosedFineHands(avatar, levels, refine=self.config.refine_poses)

    def make_drawing(self) -> MeshDrawing:
        """What gives pixels their color: where the methods differ."""
        return MattDrawing()

    def populate_modules(self):
        try:
            check_texture_size(self.config.texture_size)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        super().populate_modules()
        config, surface = self.config, self.hands.surface
        rest = surface.pose(HandPose.rest(surface.num_hands), self.hands.shape, self.hands.displacement).vertices
        self.mesh = DisplacedMesh(rest, surface.faces, smoothing=config.smoothing)
        self.register_buffer("face_uv", surface.uv, persistent=False)
        self.register_buffer("face_is_hand", surface.face_is_hand, persistent=False)
        self.albedo = AlbedoTexture(surface.faces, surface.uv, size=config.texture_size, num_hands=surface.num_hands)
        self.lighting = Lighting(1 if config.lighting == "shared" else len(self.camera_names))
        self.light_controls = LightControls(self.relight)
        self.drawing = self.make_drawing()
        self.shader = self.drawing.network
        self.displaces = True
        self._drawn_state = None

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = {"displacement": [self.mesh.displacement], "albedo": list(self.albedo.parameters())}
        groups = {**groups, "light": [self.lighting.coefficients], **super().get_param_groups()}
        return groups if self.shader is None else {**groups, "shader": list(self.shader.parameters())}

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def advance(trained: float) -> None:
            self.displaces = trained >= self.config.displace_from
            self.drawing.advance(trained)

        return [*super().get_training_callbacks(attributes), before_each_step(attributes, advance)]

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders rays [R], or the pinhole rays of a picture [H, W], whose silhouettes then are antialiased.

        Returns:
            `rgb` over black, outside training held in [0, 1]; `radiance`, the same unbounded above; `shaded`, the
            color of the matt surface; `accumulation`, the fraction of the pixel that the hand covers; in training the
            scalar `penalty`. Else `depth` along the unit ray in meters, beyond the scene where nothing is met, and
            `surface_layers`.
        """
        camera = self.cameras.of(ray_bundle)
        rays = self.cameras.correct(ray_bundle, camera)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.mesh_is_fixed):
            self.displace()
            posed = self.hands.for_rays(rays.flatten())
            raster, ray_surface = rasterize_hands(rays, posed)
            visible, gbuffer = self.shade(raster, ray_surface, posed, rays.directions, camera)
        color, penalty = (self.drawing if self.has_own_color else MattDrawing())(gbuffer, visible)
        layers = [spread(torch.ones_like(color[:, :1]), visible), spread(gbuffer.shaded, visible)]
        if self.has_own_color:
            layers.append(spread(color, visible))
        alpha, *colors = antialias_layers(layers, raster, rays, posed)
        shaded, radiance = (self.cameras.respond(layer, alpha, camera) for layer in (colors[0], colors[-1]))
        result = {"rgb": radiance, "radiance": radiance, "shaded": shaded, "accumulation": alpha}
        if self.training:
            return {**result, "penalty": penalty + self.common_penalty() + self.mesh_penalty()}
        return {
            **result,
            "rgb": radiance.clamp(0, 1),
            "shaded": shaded.clamp(0, 1),
            "depth": torch.where(visible, raster.ray_depth, self.beyond_scene(rays.origins)[..., 0])[..., None],
            **surface_layers(gbuffer, visible),
        }

    def __getstate__(self):
        """A copy moves its own rest pose."""
        return {**self.__dict__, "_drawn_state": None}

    def _apply(self, fn, recurse=True):
        # What the rest pose was moved by stays on the device where it was.
        self._drawn_state = None
        self.hands.set_offset(None)
        return super()._apply(fn, recurse)

    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders a picture [H, W] as a whole."""
        return self.get_outputs(camera_ray_bundle)

    def displace(self) -> None:
        """Moves the rest pose where training has changed the offsets since."""
        version = (self.training, self.displaces, self.mesh.displacement._version)
        if self.training or version != self._drawn_state:
            offset = self.mesh.offset()
            self.hands.set_offset(offset if self.displaces else 0 * offset)
            self._drawn_state = version

    def shade(
        self,
        raster: Raster,
        ray_surface: Int[Tensor, "*R"],
        posed: PosedSurfaces,
        directions: Float[Tensor, "*R 3"],
        camera: Int[Tensor, "*R"] | None,
    ) -> Tuple[Bool[Tensor, "*R"], GBuffer]:
        """Which rays show the hand, and what these show."""
        num_faces = posed.surfaces.num_own_faces
        face = raster.face.clamp(0, num_faces - 1)
        visible = (raster.face >= 0) & (raster.face < num_faces) & self.face_is_hand[face]
        # A mask as an index makes a GPU be waited for at every use, and once more in the backward pass.
        shown = visible.nonzero(as_tuple=True)
        face, barycentric = face[shown], raster.barycentric[shown]
        at = (ray_surface[shown], face, barycentric)
        normal = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        albedo = self.albedo(uv_warp(self.face_uv, face, barycentric))
        blocked = posed.interpolate(posed.light, *at)
        camera = None if camera is None else camera[shown]
        irradiance = self.lighting.irradiance(normal, blocked, camera, self.cameras.seen)
        shaded = matt_color(albedo, irradiance)
        return visible, GBuffer(face, barycentric, normal, albedo, irradiance, shaded, directions[shown])

    @property
    def has_own_color(self) -> bool:
        """Whether the color is another than that of the shaded mesh."""
        # What a network has learned holds in the light of the capture only.
        return self.drawing.has_own_color and not self.lighting.is_relit

    @property
    def mesh_is_fixed(self) -> bool:
        """Whether shape, albedo and light stay as they are in this step."""
        return self.training and self.drawing.mesh_rests

    def relight(self, environment: Environment | None, turned: float = 0.0) -> None:
        """Shows the hands in another light outside training, as bright as that of the capture; None ends it.

        Args:
            environment: the light; z is up.
            turned: radians by which it is turned about the vertical.
        """
        self.lighting.relight(environment, self.cameras.seen, turned=turned)

    @torch.no_grad()
    def export_source(self) -> ExportSource:
        self.displace()
        colors = albedo_colors(self.albedo.image(), self.face_uv, linear=True)
        return ExportSource(self.hands, lambda pose: colors, lit=True, detailed=self.hands)

    # Learning -------------------------------------------------------------------------------------------------------

    def mesh_penalty(self) -> Float[Tensor, ""]:
        """The regularizers of shape and albedo, with their weights; here so that DDP sees every parameter used."""
        if self.mesh_is_fixed:
            return self.lighting.coefficients.new_zeros(())
        config, shape = self.config, self.mesh.regularizers(self.hands.offset)  # pyright: ignore[reportArgumentType]
        return (
            config.laplacian_loss_weight * shape["laplacian"]
            + config.normal_loss_weight * shape["normal"]
            + config.edge_loss_weight * shape["edge"]
            + config.displacement_loss_weight * shape["displacement"]
            + config.albedo_loss_weight * self.albedo.roughness()
            + config.seam_loss_weight * self.albedo.seam_difference()
        )

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        moved = self.hands.offset.norm(dim=-1).mean() * 1000
        return {**super().get_metrics_dict(outputs, batch), "displacement_mm": moved}

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config, label, image = self.config, batch["hand_label"].to(self.device), batch["image"].to(self.device)
        hand = (label == PixelLabel.HAND)[..., 0].nonzero(as_tuple=True)
        loss = {"color": config.color_loss_weight * color_loss(outputs["rgb"][hand], image[hand], config.huber_delta)}
        if not self.mesh_is_fixed:
            boundary = on_boundary_of(batch, self.device) if config.mask_boundary else {}
            coverage = coverage_loss(outputs["accumulation"], label, self.learned_labels, **boundary)
            loss["mask"] = config.mask_loss_weight * coverage
        if self.has_own_color and not self.mesh_is_fixed:
            shaded = color_loss(outputs["shaded"][hand], image[hand], config.huber_delta)
            loss["shaded"] = config.color_loss_weight * shaded
        if self.perceptual is not None:
            found = perceptual_window_loss(self.perceptual, outputs["rgb"], image, label, self.learned_labels)
            loss["perceptual"] = config.perceptual_loss_weight * found
        if "penalty" in outputs:
            loss["penalty"] = outputs["penalty"]
        return loss
