"""`hand-mesh`: a detailed mesh with albedo, lit, by inverse rendering, after FMHR (AAAI 2024)."""

from __future__ import annotations

import math
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
from nerfstudio_hands.fields.neural_shader import SurfaceLook
from nerfstudio_hands.fields.texture_size import check_texture_size
from nerfstudio_hands.fields.warps import uv_warp
from nerfstudio_hands.geometry.laplacian import Laplacian
from nerfstudio_hands.geometry.large_steps import LargeSteps
from nerfstudio_hands.geometry.light.environment import Environment, match_brightness
from nerfstudio_hands.geometry.raster.antialias import antialias
from nerfstudio_hands.geometry.raster.rasterize import rasterize_rays
from nerfstudio_hands.geometry.raster.visibility import Raster
from nerfstudio_hands.geometry.regularizers import (
    MeshEdges,
    displacement_size,
    edge_lengths,
    edge_stretch,
    laplacian_energy,
    normal_consistency,
)
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.hand_model.subdivided import levels_for
from nerfstudio_hands.labels import BOUNDARY_WIDTH, PixelLabel
from nerfstudio_hands.model_components.albedo_colors import albedo_colors
from nerfstudio_hands.model_components.export_source import ExportSource
from nerfstudio_hands.model_components.losses import color_loss, patch_loss
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.schedules import before_each_step
from nerfstudio_hands.models.posed_hand_model import PosedHandModel, PosedHandModelConfig
from nerfstudio_hands.program.memory import now
from nerfstudio_hands.program.option_range import Fraction, Weight, bounded
from nerfstudio_hands.transforms.spherical_harmonics import irradiance, rotate_about_vertical
from nerfstudio_hands.viewer.light_controls import LightControls

WHITE = 2 * math.sqrt(math.pi)
"""First coefficient of a light that is one from all sides."""

GAMMA = 2.2
"""Exponent between the light that adds up and the values of pictures, for which sRGB's own curve stands; a power keeps
gains gains."""

DARKEST = 1e-4
"""Least light of a pixel: below, the slope of the power is too steep."""

PATCH = 64
"""Side in pixels of the square that LPIPS looks at in a step."""

WIRE = 0.08
"""Barycentric coordinate below which a point is drawn as an edge."""


@dataclass
class HandMeshModelConfig(PosedHandModelConfig):
    """Choices of `hand-mesh`."""

    _target: Type = field(default_factory=lambda: HandMeshModel)
    """target class to instantiate"""
    subdivisions: bounded(Optional[int], 0, 6) = None
    """How often each face of the hand model is cut in four; by default so that a hand has about 50,000 vertices."""
    texture_size: bounded(int, 16, 8192) = 512
    """Texels along the height of the albedo texture, a power of two; as many along each hand's width."""
    light_of: Literal["capture", "camera"] = "capture"
    """Whether all cameras see the hand under the same light, or each has its own (as FMHR has)."""
    displace_from: Fraction = 0.2
    """Share of the training after which the surface moves; before, only albedo and light are learned."""
    smoothing: bounded(float, 0, 1e4) = 12.0
    """How far a step of one vertex takes its neighbours along (lambda of Nicolet et al. 2021)."""
    color_loss: Weight = 2.0
    """Weight of the colour of hand pixels (Huber; one-sided where a picture is saturated)."""
    mask_loss: Weight = 1.0
    """Weight of the squared difference between coverage and mask."""
    laplacian_loss: Weight = 0.03
    """Weight of the squared bending of the displacement: keeps noise of the pictures out of the surface."""
    normal_loss: Weight = 0.003
    """Weight of the normal consistency of neighbouring faces."""
    edge_loss: Weight = 0.03
    """Weight of the squared relative change of the edges' lengths: keeps faces from folding over and sliding."""
    displacement_loss: Weight = 2e-4
    """Weight of the squared displacement in millimetres: where pictures say nothing, the surface stays."""
    albedo_loss: Weight = 1e-3
    """Weight of the squared difference of neighbouring texels."""
    seam_loss: Weight = 0.1
    """Weight of the squared difference of the albedo across the seams of the texture atlas."""

    def training_remedy(self, data: HandDataManagerConfig) -> str:
        return (
            f"lower --max-resolution of the data parser{now(data.dataparser.max_resolution)}, or start anew with a "
            f"lower --pipeline.model.subdivisions{now(self.subdivisions)} or "
            f"--pipeline.model.texture-size{now(self.texture_size)}"
        )

    def rendering_remedy(self) -> str:
        return f"render smaller pictures, or train with a lower --pipeline.model.subdivisions{now(self.subdivisions)}"


class HandMeshModel(PosedHandModel):
    """A subdivided hand model whose vertices are displaced in the zero pose, with an albedo texture and a light.

    All frames share displacement, albedo and light, so that the result can be posed. A matt surface is lit from far
    away: colour is albedo times irradiance over pi, times the camera's gain.
    """

    config: HandMeshModelConfig
    hands: PosedFineHands
    can_be_relit = True

    def make_hands(self, avatar: AvatarData) -> PosedFineHands:
        levels = self.config.subdivisions
        if levels is None:
            levels = levels_for(avatar.surface.hands[0])
        return PosedFineHands(avatar, levels, refine=self.config.refine_poses)

    def populate_modules(self):
        try:
            check_texture_size(self.config.texture_size)
        except HandsError as error:
            raise SystemExit(f"error: {error}") from error
        super().populate_modules()
        surface = self.hands.surface
        rest = HandPose.rest(surface.num_hands)
        self.register_buffer(
            "rest_vertices", surface.pose(rest, self.hands.shape, self.hands.displacement).vertices, persistent=False
        )
        self.register_buffer("face_uv", surface.uv, persistent=False)
        self.register_buffer("shows", surface.face_is_hand, persistent=False)
        self.displacement = Parameter(torch.zeros(surface.num_vertices, 3))
        self.displaces = True
        self.albedo = AlbedoTexture(
            surface.faces, surface.uv, size=self.config.texture_size, num_hands=surface.num_hands
        )
        num_lights = 1 if self.config.light_of == "capture" else len(self.camera_names)
        self.light = Parameter(torch.zeros(num_lights, 9, 3))
        with torch.no_grad():
            self.light[:, 0] = WHITE
        self.light_controls = LightControls(self.relight)
        self._other_light: Float[Tensor, "9 3"] | None = None
        self._topology: _Topology | None = None
        self._version = None

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = {"displacement": [self.displacement], "albedo": list(self.albedo.parameters())}
        return {**groups, "light": [self.light], **super().get_param_groups()}

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        def release(share: float) -> None:
            self.displaces = share >= self.config.displace_from

        return [*super().get_training_callbacks(attributes), before_each_step(attributes, release)]

    # Rendering ------------------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders rays [R], or the pinhole rays of a picture [H, W], whose silhouettes then are antialiased.

        Returns:
            `rgb` over black, outside training held in [0, 1]; `radiance`, the same unbounded above; `shaded`, the
            colour of the matt surface; `accumulation`, the share of the pixel that the hand covers; in training the
            scalar `penalty`. Else `albedo` and `shading` (half of irradiance over pi), encoded as pictures are,
            `normals` in [0, 1], `wireframe`, and `depth` along the unit ray in metres, beyond the scene where nothing
            is met.
        """
        camera = self.cameras.of(ray_bundle)
        ray_bundle = self.cameras.correct(ray_bundle, camera)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.mesh_is_fixed):
            self.displace()
            posed = self.hands.for_rays(ray_bundle.flatten())
            raster, ray_surface = self._cast(ray_bundle, posed)
            visible, look, shading = self.look(raster, ray_surface, posed, ray_bundle.directions, camera)
        color, penalty = self.color(look, visible)
        seen = visible.nonzero(as_tuple=True)

        def spread(values: Float[Tensor, "N C"]) -> Float[Tensor, "*R C"]:
            return values.new_zeros(*visible.shape, values.shape[-1]).index_put(seen, values)

        layers = [spread(torch.ones_like(color[:, :1])), spread(look.shaded), *([spread(color)] if self.draws else ())]
        if visible.ndim == 2:
            smooth = antialias(
                torch.cat(layers, dim=-1), raster, posed.surfaces, *pinhole(ray_bundle), surface=_only(ray_surface)
            )
            layers = smooth.split((1, 3, 3) if self.draws else (1, 3), dim=-1)
        alpha = layers[0]
        shaded, radiance = (self.cameras.respond(layer, alpha, camera) for layer in (layers[1], layers[-1]))
        result = {"rgb": radiance, "radiance": radiance, "shaded": shaded, "accumulation": alpha}
        if self.training:
            return {**result, "penalty": penalty + self.common_penalty() + self.mesh_penalty()}
        facing = (look.normal * look.directions).sum(dim=-1, keepdim=True).abs()
        line = look.barycentric.amin(dim=-1, keepdim=True) < WIRE
        return {
            **result,
            "rgb": radiance.clamp(0, 1),
            "shaded": shaded.clamp(0, 1),
            "depth": torch.where(visible, raster.ray_depth, self.beyond_scene(ray_bundle.origins)[..., 0])[..., None],
            "albedo": spread(look.albedo ** (1 / GAMMA)),
            "shading": (spread(shading) / 2).clamp(0, 1) ** (1 / GAMMA),
            "normals": (spread(look.normal) + 1) / 2,
            "wireframe": spread(torch.where(line, 0, facing)).expand(*visible.shape, 3),
        }

    def look(
        self,
        raster: Raster,
        ray_surface: Int[Tensor, "*R"],
        posed: PosedSurfaces,
        directions: Float[Tensor, "*R 3"],
        camera: Int[Tensor, "*R"] | None,
    ) -> Tuple[Bool[Tensor, "*R"], SurfaceLook, Float[Tensor, "N 3"]]:
        """Which rays show the hand, what they show, and the irradiance over pi there."""
        num_faces = posed.surfaces.num_own_faces
        face = raster.face.clamp(0, num_faces - 1)
        visible = (raster.face >= 0) & (raster.face < num_faces) & self.shows[face]
        face, barycentric = face[visible], raster.barycentric[visible]
        at = (ray_surface[visible], face, barycentric)
        normal = F.normalize(posed.interpolate(posed.normals, *at), dim=-1)
        albedo = self.albedo(uv_warp(self.face_uv, face, barycentric))
        blocked = posed.interpolate(posed.light, *at)
        shading = self.shade(normal, blocked, None if camera is None else camera[visible])
        shaded = (albedo * shading).clamp(min=DARKEST) ** (1 / GAMMA)
        return visible, SurfaceLook(face, barycentric, normal, albedo, shaded, directions[visible]), shading

    @property
    def topology(self) -> _Topology:
        """What follows from the faces, on the device where the vertices are."""
        if self._topology is None:
            faces = self.hands.surface.faces
            laplacian, mesh_edges = Laplacian.uniform(faces, len(self.rest_vertices)), MeshEdges.of(faces)
            steps = LargeSteps(laplacian, self.config.smoothing)
            self._topology = _Topology(laplacian, mesh_edges, edge_lengths(self.rest_vertices, mesh_edges), steps)
        return self._topology

    def _apply(self, fn, recurse=True):
        self._topology = None
        return super()._apply(fn, recurse)

    @property
    def draws(self) -> bool:
        """Whether the colour is another than that of the shaded mesh."""
        return False

    @property
    def is_relit(self) -> bool:
        """Whether the hands are shown in another light than that of the capture."""
        return self._other_light is not None and not self.training

    @property
    def mesh_is_fixed(self) -> bool:
        """Whether shape, albedo and light stay as they are in this step."""
        return False

    def color(self, look: SurfaceLook, visible: Bool[Tensor, "*R"]) -> Tuple[Float[Tensor, "N 3"], Float[Tensor, ""]]:
        """Colour of the pixels that show the hand, and a penalty on how it came about: here the shaded mesh."""
        return look.shaded, look.shaded.new_zeros(())

    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders a picture [H, W] as a whole."""
        return self.get_outputs(camera_ray_bundle)

    def shade(
        self, normal: Float[Tensor, "N 3"], blocked: Float[Tensor, "N 9"], camera: Int[Tensor, "N"] | None
    ) -> Float[Tensor, "N 3"]:
        """Irradiance over pi, less what the hand itself blocks; of the mean light where cameras have their own and none
        is given."""
        light = self.light_on(camera)
        open_sky = irradiance(light, normal[:, None])[:, 0]
        return (open_sky - (blocked[:, None] @ light)[:, 0]).clamp(min=0)

    def light_on(self, camera: Int[Tensor, "N"] | None = None) -> Float[Tensor, "*N 9 3"]:
        """Coefficients of the light, nerfstudio's world: one for all, or one a pixel where cameras have their own."""
        if self.is_relit:
            return self._other_light.to(self.device)
        if len(self.light) == 1:
            return self.light[0]
        seen = self.cameras.seen
        lights = torch.where(seen[:, None, None], self.light, self.light[seen].mean(dim=0))
        return lights[seen].mean(dim=0) if camera is None else lights[camera]

    @torch.no_grad()
    def relight(self, environment: Environment | None, turned: float = 0.0) -> None:
        """Shows the hands in another light outside training, as bright as that of the capture; None ends it.

        Args:
            environment: the light; z is up.
            turned: radians by which it is turned about the vertical.
        """
        self._other_light = None
        if environment is not None:
            matched = match_brightness(environment, self.light_on().cpu())
            self._other_light = rotate_about_vertical(matched.coefficients, turned)

    def displace(self) -> None:
        """Moves the zero pose where training has changed the offsets since."""
        version = (self.training, self.displaces, self.displacement._version)
        if self.training or version != self._version:
            offset = self.topology.steps.positions(self.displacement)
            self.hands.set_offset(offset if self.displaces else 0 * offset)
            self._version = version

    def _cast(self, rays: RayBundle, posed: PosedSurfaces) -> Tuple[Raster, Int[Tensor, "*R"]]:
        """What rays meet, and which surface each was cast at."""
        ray_surface = posed.ray_surface.view(rays.shape)
        if rays.ndim == 2:
            return rasterize_rays(posed.surfaces, *pinhole(rays), surface=_only(ray_surface)), ray_surface
        hits = posed.surfaces.cast(rays.origins, rays.directions, posed.ray_surface)
        return Raster(hits.face, hits.barycentric, hits.depth, hits.depth), ray_surface

    def mesh_penalty(self) -> Float[Tensor, ""]:
        """The regularisers of shape and albedo, with their weights; here so that DDP sees every parameter used."""
        if self.mesh_is_fixed:
            return self.light.new_zeros(())
        config = self.config
        offset, topology = self.hands.offset, self.topology
        vertices = self.rest_vertices + offset
        return (
            config.laplacian_loss * laplacian_energy(offset * 1000, topology.laplacian)
            + config.normal_loss * normal_consistency(vertices, self.hands.surface.faces, topology.edges)
            + config.edge_loss * edge_stretch(vertices, topology.edges, topology.rest_lengths)
            + config.displacement_loss * displacement_size(offset * 1000)
            + config.albedo_loss * self.albedo.roughness()
            + config.seam_loss * self.albedo.seam_difference()
        )

    @torch.no_grad()
    def export_source(self) -> ExportSource:
        self.displace()
        colors = albedo_colors(self.albedo.picture(), self.face_uv, linear=True)
        return ExportSource(self.hands, lambda pose: colors, lit=True, detailed=self.hands)

    # Learning -------------------------------------------------------------------------------------------------------

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        moved = self.hands.offset.norm(dim=-1).mean() * 1000
        return {**super().get_metrics_dict(outputs, batch), "displacement_mm": moved}

    def get_loss_dict(self, outputs: Dict[str, Tensor], batch: RayBatch, metrics_dict=None) -> Dict[str, Tensor]:
        config = self.config
        label = batch["hand_label"].to(self.device)
        hand = label == PixelLabel.HAND
        image = batch["image"].to(self.device)
        rgb, truth = outputs["rgb"][hand[..., 0]], image[hand[..., 0]]
        loss = {"color": config.color_loss * color_loss(rgb, truth, config.huber_delta)}
        if not self.mesh_is_fixed:
            known = hand | (label == PixelLabel.BACKGROUND)
            boundary = next_to(hand) & next_to(label == PixelLabel.BACKGROUND) & (label == PixelLabel.IGNORE)
            target, known = hand | (boundary & batch["in_mask"].to(self.device)), known | boundary
            wrong = outputs["accumulation"] - target.to(truth.dtype)
            loss["mask"] = config.mask_loss * wrong[known].square().mean()
        if self.draws and not self.mesh_is_fixed:
            shaded = outputs["shaded"][hand[..., 0]]
            loss["shaded"] = config.color_loss * color_loss(shaded, truth, config.huber_delta)
        if self.perceptual is not None and min(hand.shape[:2]) >= PATCH:
            window = random_window(hand[..., 0], PATCH)
            patch = (outputs["rgb"][window], image[window], label[window][..., 0])
            found = patch_loss(self.perceptual, *(part.flatten(0, 1) for part in patch), self.learned_labels, PATCH)
            loss["perceptual"] = config.perceptual_loss * found
        if "penalty" in outputs:
            loss["penalty"] = outputs["penalty"]
        return loss


def random_window(pixels: Bool[Tensor, "H W"], size: int) -> Tuple[slice, slice]:
    """A square of this side round one of the pixels, moved into the picture, which must be as large."""
    places = pixels.nonzero()
    place = places[torch.randint(len(places), ())].tolist() if len(places) else [0, 0]
    starts = (min(max(at - size // 2, 0), limit - size) for at, limit in zip(place, pixels.shape, strict=True))
    top, left = starts
    return slice(top, top + size), slice(left, left + size)


def next_to(pixels: Bool[Tensor, "H W 1"]) -> Bool[Tensor, "H W 1"]:
    """Pixels with one of these within `BOUNDARY_WIDTH` pixels."""
    size = 2 * BOUNDARY_WIDTH + 1
    return F.max_pool2d(pixels[None, ..., 0].float(), size, stride=1, padding=BOUNDARY_WIDTH)[0, ..., None] > 0


@dataclass
class _Topology:
    laplacian: Laplacian
    edges: MeshEdges
    rest_lengths: Float[Tensor, " E"]
    steps: LargeSteps


def _only(ray_surface: Int[Tensor, "H W"]) -> int:
    """The surface of a picture, which shows one moment."""
    return int(ray_surface[0, 0])


def pinhole(rays: RayBundle) -> Tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]]:
    """Origins, and directions of depth one along the camera's axis."""
    return rays.origins, rays.directions * rays.metadata["directions_norm"]
