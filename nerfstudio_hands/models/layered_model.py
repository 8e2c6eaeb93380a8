"""What models share whose whole pictures can be drawn in layers: fields in a shell round the posed surface."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Dict

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from torch import Tensor

from nerfstudio_hands.model_components.image_layers import (
    Look,
    SoftSurface,
    draw_layers,
    faces_of_hands,
    find_image_layers,
)
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.rasterization import image_rays
from nerfstudio_hands.models.posed_hand_model import PosedHandModel
from nerfstudio_hands.models.shell_field_config import ShellFieldModelConfig
from nerfstudio_hands.program.memory import explain_out_of_memory


class LayeredModel(PosedHandModel):
    """Hands that whole pictures show by one look at each layer of their surface, where that is wanted."""

    config: ShellFieldModelConfig

    @property
    def draws_layers(self) -> bool:
        """Whether whole pictures are drawn in layers, and not from samples along their rays."""
        return self.config.layered_images and not self.training

    @abstractmethod
    def soft_surface(self, posed: PosedSurfaces) -> SoftSurface:
        """Where the learned surface lies."""

    @abstractmethod
    def look(
        self,
        rays: RayBundle,
        ray: Int[Tensor, "N"],
        depth: Float[Tensor, "N 1"],
        *,
        below: Float[Tensor, "S V K"],
        posed: PosedSurfaces,
    ) -> Look:
        """What layers show at their depths on rays."""

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> Dict[str, Tensor]:
        """Renders a camera's picture; a box to crop to has no effect where pictures are drawn in layers."""
        if not self.draws_layers:
            return super().get_outputs_for_camera(camera, obb_box)
        with explain_out_of_memory("rendering", self.config.rendering_remedy()):
            return self.get_outputs_for_camera_ray_bundle(image_rays(camera.to(self.device)))

    @torch.no_grad()
    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Renders a picture [H, W]."""
        if not self.draws_layers:
            return super().get_outputs_for_camera_ray_bundle(camera_ray_bundle)
        rays = camera_ray_bundle.to(self.device)
        camera = self.cameras.of(rays)
        corrected = self.cameras.correct(rays, camera)
        posed, config = self.hands.for_rays(corrected.flatten()), self.config
        surface = self.soft_surface(posed)
        layers = find_image_layers(
            corrected,
            posed,
            surface,
            counts=faces_of_hands(self.hands.surface),
            shell=config.shell,
            max_steps=config.march_steps,
        )
        outputs = draw_layers(
            corrected,
            layers,
            partial(self.look, below=surface.below, posed=posed),
            scale=surface.scale,
            respond=partial(self.cameras.respond, camera=None if camera is None else camera.view(-1)),
            beyond=self.beyond_scene(corrected.origins.view(-1, 3)),
            chunk=config.eval_num_rays_per_chunk,
        )
        return {name: value.view(*rays.shape, -1) for name, value in outputs.items()}
