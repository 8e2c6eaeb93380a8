"""From what samples show to what pixels show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.fields.hand_field import Radiance


@dataclass
class WeightedSamples:
    """Samples on M rays, out of R that are rendered, and how much of its ray's color each is.

    Attributes:
        num_rays: R.
        ray: index of each of the M rays [M].
        depth: along the rays, meters [M, S].
        weight: weights [M, S].
        visible: samples whose color is asked for, as indices into the flattened others [N].
    """

    num_rays: int
    ray: Int[Tensor, "M"]
    depth: Float[Tensor, "M S"]
    weight: Float[Tensor, "M S"]
    visible: Int[Tensor, "N"]

    @cached_property
    def visible_ray(self) -> Int[Tensor, "N"]:
        """The ray of each visible sample."""
        return self.ray[self.visible // self.weight.shape[1]]

    def accumulation(self) -> Float[Tensor, "R 1"]:
        """Opacity of each ray."""
        return self._per_ray(self.weight.sum(dim=1, keepdim=True), self.ray)

    def mean_depth(self, accumulation: Float[Tensor, "R 1"], beyond: Float[Tensor, "R 1"]) -> Float[Tensor, "R 1"]:
        """Mean depth of each ray, meters; `beyond` where more is seen through than met."""
        depth = self._per_ray((self.weight * self.depth).sum(dim=1, keepdim=True), self.ray)
        return torch.where(accumulation > 0.5, depth / accumulation.clamp(min=0.5), beyond)

    def composite(self, values: Float[Tensor, "N C"]) -> Float[Tensor, "R C"]:
        """Weighted sums a ray, of values of the visible samples."""
        return self._per_ray(self.weight.flatten()[self.visible, None] * values, self.visible_ray)

    def _per_ray(self, values: Float[Tensor, "P C"], ray: Int[Tensor, "P"]) -> Float[Tensor, "R C"]:
        return values.new_zeros(self.num_rays, values.shape[-1]).index_add(0, ray, values)


def composite_outputs(
    samples: WeightedSamples,
    radiance: Radiance,
    normal: Float[Tensor, "N 3"],
    *,
    respond: Callable[[Float[Tensor, "R 3"], Float[Tensor, "R 1"]], Float[Tensor, "R 3"]],
    beyond: Float[Tensor, "R 1"],
    training: bool,
) -> dict[str, Tensor]:
    """What R rays show.

    Args:
        samples: samples and weights.
        radiance: colors of the visible ones.
        normal: unit normals of these, world frame.
        respond: from a color over black, and an opacity, to what the camera records.
        beyond: depth of what is not there, meters.
        training: whether colors are left as they are, and `diffuse` comes with them.

    Returns:
        `rgb` [R, 3] over black, outside training held in [0, 1]; `radiance` [R, 3], the same unbounded above; `depth`
        [R, 1] along the unit ray in meters, beyond the scene where more is seen through than met (TSDF fusion learns
        from it what is empty); `accumulation` [R, 1]; `normals` [R, 3] in [0, 1]; in training also `diffuse` [R, 3].
    """
    accumulation = samples.accumulation()
    color = respond(samples.composite(radiance.color), accumulation)
    outputs = {
        "rgb": color if training else color.clamp(0, 1),
        "radiance": color,
        "accumulation": accumulation,
        "depth": samples.mean_depth(accumulation, beyond),
        "normals": (F.normalize(samples.composite(normal), dim=-1) + 1) / 2,
    }
    if training:
        outputs["diffuse"] = respond(samples.composite(radiance.diffuse), accumulation)
    return outputs


def empty_outputs(beyond: Float[Tensor, "R 1"]) -> dict[str, Tensor]:
    """What R rays show that meet nothing, outside training; `beyond` is the depth of what is not there."""
    none = torch.zeros_like(beyond)
    black = none.expand(-1, 3)
    return {"rgb": black, "radiance": black, "accumulation": none, "depth": beyond, "normals": black + 0.5}


def with_parts(outputs: dict[str, Tensor], of_object: Float[Tensor, "*R 1"]) -> dict[str, Tensor]:
    """Outputs of rays [R], or of a picture, with the object's part of their opacity as `object_accumulation`, and
    `parts` [R, 3]: hand red, object blue."""
    parts = torch.cat([outputs["accumulation"] - of_object, torch.zeros_like(of_object), of_object], dim=-1)
    return {**outputs, "object_accumulation": of_object, "parts": parts}
