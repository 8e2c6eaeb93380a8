"""The color that a radiance field in a shell shows at points of its learned surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.fields.hand_field import Geometry, HandField
from nerfstudio_hands.fields.surface_samples import SurfaceSamples
from nerfstudio_hands.model_components.export_source import ColorFn
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces

LEVEL_STEPS = 3
"""Steps of distance = -shift(distance) towards the learned surface; the shift varies little with it: few do."""


def learned_surface_colors(
    field: HandField,
    locate: Callable[..., tuple[SurfaceSamples, Float[Tensor, " N"] | None]],
    posed: PosedSurfaces,
    *,
    shell: float,
    exposure: Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N 3"]],
) -> ColorFn:
    """Colors of a pose: those of the learned surface above or below each point of the mesh, without reflections.

    The view-dependent part is left out, because a texture is looked at from everywhere.

    Args:
        field: Geometry and color.
        locate: What the field is asked with, see `VolumetricHandModel.locate`.
        posed: One posed surface of the hands.
        shell: Half width of the shell, meters.
        exposure: From the field's colors to those of files.

    Returns:
        Colors of points in nerfstudio's world.
    """

    @torch.no_grad()
    def color(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        codes = posed.code.expand(len(points), -1)
        surface = torch.zeros(len(points), dtype=torch.long, device=points.device)

        def geometry_at(distance: Float[Tensor, " N"]) -> tuple[SurfaceSamples, Geometry]:
            points_there = points + normal * distance[:, None] * shell
            samples, _ = locate(points_there, surface, face, barycentric, distance, posed)
            return replace(samples, normal=normal), field.geometry(samples, codes)

        distance = torch.zeros(len(points), device=points.device)
        for _ in range(LEVEL_STEPS):
            distance = -geometry_at(distance)[1].shift
        return exposure(field.radiance(*geometry_at(distance), -normal).diffuse)

    return color
