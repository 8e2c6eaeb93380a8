"""Light from far away that falls on matt hands."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nerfstudio_hands.geometry.light.environment import Environment, match_brightness
from nerfstudio_hands.transforms.spherical_harmonics import irradiance, rotate_about_vertical

UNIFORM_LIGHT = 2 * math.sqrt(math.pi)
"""First coefficient of a light that is one from all sides."""


class Lighting(nn.Module):
    """Light in spherical harmonics: the same for all cameras, or one a camera. It starts as one from all sides.

    Args:
        num_lights: 1, or the number of cameras.

    Attributes:
        coefficients: of each light, nerfstudio's world [L, 9, 3].
    """

    def __init__(self, num_lights: int):
        super().__init__()
        start = torch.zeros(num_lights, 9, 3)
        start[:, 0] = UNIFORM_LIGHT
        self.coefficients = nn.Parameter(start)
        self._other: Float[Tensor, "9 3"] | None = None

    @property
    def is_relit(self) -> bool:
        """Whether the hands are shown in another light than that of the capture, as outside training they may."""
        return self._other is not None and not self.training

    def light(self, camera: Int[Tensor, "N"] | None, seen: Bool[Tensor, "C"]) -> Float[Tensor, "*N 9 3"]:
        """Coefficients of the light: one for all, or one a pixel where cameras have their own.

        Args:
            camera: of each pixel; None for the mean of the cameras.
            seen: cameras that training has seen; others have the mean of these.
        """
        if self.is_relit:
            return self._other.to(self.coefficients.device)
        if len(self.coefficients) == 1:
            return self.coefficients[0]
        mean = self.coefficients[seen].mean(dim=0)
        return mean if camera is None else torch.where(seen[:, None, None], self.coefficients, mean)[camera]

    def irradiance(
        self,
        normal: Float[Tensor, "N 3"],
        blocked: Float[Tensor, "N 9"],
        camera: Int[Tensor, "N"] | None,
        seen: Bool[Tensor, "C"],
    ) -> Float[Tensor, "N 3"]:
        """Irradiance over pi, less what the hands themselves block.

        Args:
            normal: unit normals, nerfstudio's world.
            blocked: coefficients of the light that does not arrive, see `PosedFineHands`.
            camera, seen: as for :meth:`light`.
        """
        light = self.light(camera, seen)
        open_sky = irradiance(light, normal[:, None])[:, 0]
        return (open_sky - (blocked[:, None] @ light)[:, 0]).clamp(min=0)

    @torch.no_grad()
    def relight(self, environment: Environment | None, seen: Bool[Tensor, "C"], *, turned: float = 0.0) -> None:
        """Shows the hands in another light outside training, as bright as that of the capture; None ends it.

        Args:
            environment: the light; z is up.
            seen: cameras that training has seen.
            turned: radians by which it is turned about the vertical.
        """
        self._other = None
        if environment is not None:
            matched = match_brightness(environment, self.light(None, seen).cpu())
            self._other = rotate_about_vertical(matched.coefficients, turned)
