"""From what was rasterized of a lit mesh to the colors of pixels: as a matt surface shows it, or by a network."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.fields.neural_shader import GBuffer, NeuralShader
from nerfstudio_hands.model_components.schedules import Schedule
from nerfstudio_hands.transforms.color import GAMMA

MIN_RADIANCE = 1e-4
"""Least light of a pixel: below, the slope of the power is too steep."""

WIREFRAME_WIDTH = 0.08
"""Barycentric coordinate below which a point is drawn as an edge."""


def matt_color(albedo: Float[Tensor, "N 3"], irradiance: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """What a matt surface shows of an irradiance over pi, as an image's values."""
    return (albedo * irradiance).clamp(min=MIN_RADIANCE) ** (1 / GAMMA)


def spread(values: Float[Tensor, "N C"], visible: Bool[Tensor, "*R"]) -> Float[Tensor, "*R C"]:
    """Values of the pixels that show the hand among all pixels, the others zero."""
    return values.new_zeros(*visible.shape, values.shape[-1]).index_put(visible.nonzero(as_tuple=True), values)


def surface_layers(gbuffer: GBuffer, visible: Bool[Tensor, "*R"]) -> dict[str, Float[Tensor, "*R 3"]]:
    """What is shown beside the color: `albedo` and `shading` (half of irradiance over pi), encoded as pictures are,
    `normals` in [0, 1], and `wireframe`."""
    facing = (gbuffer.normal * gbuffer.directions).sum(dim=-1, keepdim=True).abs()
    line = gbuffer.barycentric.amin(dim=-1, keepdim=True) < WIREFRAME_WIDTH
    return {
        "albedo": spread(gbuffer.albedo ** (1 / GAMMA), visible),
        "shading": (spread(gbuffer.irradiance, visible) / 2).clamp(0, 1) ** (1 / GAMMA),
        "normals": (spread(gbuffer.normal, visible) + 1) / 2,
        "wireframe": spread(torch.where(line, 0, facing), visible).expand(*visible.shape, 3),
    }


class MeshDrawing(Protocol):
    """What gives the pixels that show the hand their color.

    Attributes:
        network: What is learned for it.
        has_own_color: Whether it is now another color than that of the matt surface.
        mesh_rests: Whether shape, albedo and light now stay as they are in training.
    """

    @property
    def network(self) -> NeuralShader | None: ...

    @property
    def has_own_color(self) -> bool: ...

    @property
    def mesh_rests(self) -> bool: ...

    def advance(self, trained: float) -> None:
        """Called before each step with the part of the training that is behind."""

    def __call__(
        self, gbuffer: GBuffer, visible: Bool[Tensor, "*R"]
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, ""]]:
        """The color, and a penalty on how it came about."""
        ...


class MattDrawing:
    """The mesh as it is lit."""

    network = None
    has_own_color = mesh_rests = False

    def advance(self, trained: float) -> None:
        pass

    def __call__(
        self, gbuffer: GBuffer, visible: Bool[Tensor, "*R"]
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, ""]]:
        return gbuffer.shaded, gbuffer.shaded.new_zeros(())


class StagedDrawing:
    """Three stages: the mesh; a network that draws it, the mesh held fixed; both. Outside of a training it is the last.

    Args:
        network: Draws.
        alone: Part of the training in which it learns alone.
        view_weight: Weight of the squared view-dependent part of the color.
    """

    def __init__(self, network: NeuralShader, *, alone: Schedule, view_weight: float):
        self.network, self.alone, self.view_weight = network, alone, view_weight
        self.stage: Literal["mesh", "shader", "joint"] = "joint"

    @property
    def has_own_color(self) -> bool:
        return self.stage != "mesh"

    @property
    def mesh_rests(self) -> bool:
        return self.stage == "shader"

    def advance(self, trained: float) -> None:
        later = "shader" if trained < self.alone.end else "joint"
        self.stage = "mesh" if trained < self.alone.start else later

    def __call__(
        self, gbuffer: GBuffer, visible: Bool[Tensor, "*R"]
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, ""]]:
        # Exporters send rays of no picture; to a network that looks at neighbors these say nothing.
        if self.network.looks_around and visible.ndim != 2:
            return MattDrawing()(gbuffer, visible)
        found, view = self.network(gbuffer, visible)
        return found, self.view_weight * view.square().sum() / max(view.numel(), 1)
