"""Where rays are looked at: in the shell round a surface, and of that where the surface is likely to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from nerfstudio_hands.geometry import ShellSamples
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.scene_distance import SceneDistance
from nerfstudio_hands.model_components.weights import neus_weights

UNIFORM_FRACTION = 0.2
"""Fraction of the samples that is spread evenly, whatever the surface is thought to be."""

UPSAMPLE_FACTOR = 8
"""Sections into which the way from one place at which the surface is looked for to the next is cut."""

SURFACE_MARGIN = 7.0
"""Scales 1 / s of the surface beyond which less than a thousandth of the light is lost."""

MIN_TRANSMITTANCE = 1e-5
"""Fraction of a ray's light that is taken for none: less than what the loss on opacity tells from it."""

Distances = Callable[
    [Float[Tensor, "N 3"], Int[Tensor, "N"], PosedSurfaces], tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]
]
"""Signed distances of points, each beside one of the posed surfaces, in meters, and which of them count."""


def march_shell(
    rays: RayBundle, posed: PosedSurfaces, *, shell: float, num_samples: int, max_steps: int, jitter: bool
) -> ShellSamples:
    """Samples spread over the parts of rays in the shell.

    Args:
        rays: origins and unit directions, nerfstudio's world.
        posed: the posed surfaces.
        shell: half width of the shell, meters.
        num_samples: samples a ray.
        max_steps: steps at most by which a ray is followed to and through the shell.
        jitter: whether each lies at random in its stretch of the ray, or in the middle.
    """
    origins = rays.origins.detach()
    place = torch.rand(len(origins), num_samples, device=origins.device) if jitter else None
    return posed.surfaces.march(
        origins,
        rays.directions.detach(),
        posed.ray_surface,
        shell=shell,
        num_samples=num_samples,
        max_steps=max_steps,
        jitter=place,
    )


@dataclass(frozen=True)
class SceneSampler:
    """Samples where the surface of a scene is now: the wider it is, the further round it.

    Attributes:
        shell: half width of the shell round the fitted surface of hands, meters.
        march_steps: steps at most by which a ray is followed to and through the shell.
        num_searches: places a ray at which the surface is looked for.
        object_searches: places a ray at which a held object is looked for first.
        num_samples: samples a ray.
    """

    shell: float
    march_steps: int
    num_searches: int
    object_searches: int
    num_samples: int

    def __call__(
        self,
        scene: SceneDistance,
        rays: RayBundle,
        posed: PosedSurfaces,
        *,
        inverse_s: Float[Tensor, ""],
        training: bool,
    ) -> ShellSamples:
        """Samples of those rays that may meet something; arguments as for :func:`sample_near_surface`."""
        near = partial(sample_near_surface, rays=rays, posed=posed, inverse_s=inverse_s, training=training)
        samples = march_shell(
            rays,
            posed,
            shell=self.shell,
            num_samples=self.num_searches,
            max_steps=self.march_steps,
            jitter=training,
        )
        if scene.held is not None:
            around = scene.held.march(rays, posed, self.object_searches, jitter=training)
            samples = merge_samples(samples, near(around, self.num_searches, scene.held), len(rays.origins))
        return near(samples, self.num_samples, scene)


def points_on(
    rays: RayBundle, ray: Int[Tensor, "M"], depth: Float[Tensor, "M S"], posed: PosedSurfaces
) -> tuple[Float[Tensor, "M*S 3"], Int[Tensor, "M*S"]]:
    """Points on rays, in nerfstudio's world, and which posed surface each belongs to.

    Args:
        rays: the rays.
        ray: which of them.
        depth: where on them, meters.
        posed: the posed surfaces.
    """
    points = rays.origins[ray, None] + rays.directions[ray, None] * depth[..., None]
    return points.flatten(0, 1), posed.ray_surface[ray, None].expand_as(depth).flatten()


@torch.no_grad()
def sample_near_surface(
    samples: ShellSamples,
    count: int,
    distances: Distances,
    rays: RayBundle,
    posed: PosedSurfaces,
    *,
    inverse_s: Float[Tensor, ""],
    training: bool,
) -> ShellSamples:
    """As many samples a ray as wanted, drawn from where the surface is likely to be.

    Args:
        samples: where it is looked for.
        count: samples a ray, two at least.
        distances: signed distances from the surface.
        rays: the rays.
        posed: the posed surfaces.
        inverse_s: scale of the distribution of the surface round its zero level, meters.
        training: whether samples lie at random, and on rays too that pass the surface by.
    """
    ray, depth = samples.ray, samples.depth
    if not len(ray):
        return ShellSamples(ray, depth[:, :count], depth[:, :count])
    distance, counts = (value.view_as(depth) for value in distances(*points_on(rays, ray, depth, posed), posed))
    if not training:
        # A distance changes by no more than the way walked: the other rays pass by.
        reach = depth.diff(dim=1).amax(dim=1, keepdim=True) + SURFACE_MARGIN * inverse_s
        meets = (distance < reach).any(dim=1)
        ray, depth, distance, counts = ray[meets], depth[meets], distance[meets], counts[meets]
    # The places are further apart than the surface is wide: where it lies between two is told by distances.
    depth, distance = (upsample(values, UPSAMPLE_FACTOR) for values in (depth, distance))
    counts = torch.cat([counts[:, :1], counts[:, 1:].repeat_interleave(UPSAMPLE_FACTOR, dim=1)], dim=1)
    weights = neus_weights(distance, counts, inverse_s)
    ends = depth.gather(1, _ends_of_light(weights, distance, counts))
    jitter = torch.rand(len(ray), count - 2, device=depth.device) if training else 0.5
    drawn = importance_sample(depth, weights[:, 1:], count - 2, jitter)
    return with_widths(ray, torch.cat([drawn, ends], dim=1).sort(dim=1).values)


def _ends_of_light(
    weights: Float[Tensor, "M C"], distance: Float[Tensor, "M C"], counts: Bool[Tensor, "M C"]
) -> Int[Tensor, "M 2"]:
    """Where nothing is left of a ray, and where it first turns outward again, or else where it is deepest.

    Were all samples only a little below the surface, it would be moved outward for more opacity.
    """
    dark = weights.cumsum(dim=1) > 1 - MIN_TRANSMITTANCE
    turns = F.pad((distance[:, :-1] < 0) & (distance.diff(dim=1) > 0), (0, 1))
    deepest = torch.where(counts, distance, torch.inf).argmin(dim=1)
    ends = [torch.where(found.any(dim=1), found.int().argmax(dim=1), deepest) for found in (dark, turns)]
    return torch.stack(ends, dim=1)


def upsample(values: Float[Tensor, "M C"], factor: int) -> Float[Tensor, "M factor*(C-1)+1"]:
    """Each row with `factor - 1` more values between any two, linearly."""
    size = factor * (values.shape[1] - 1) + 1
    return F.interpolate(values[:, None], size=size, mode="linear", align_corners=True)[:, 0]


def importance_sample(
    depth: Float[Tensor, "M C"], weights: Float[Tensor, "M C-1"], count: int, jitter: Float[Tensor, "M count"] | float
) -> Float[Tensor, "M count"]:
    """Depths drawn from the sections between depths, and from their neighbors, in proportion to their weights.

    Args:
        depth: not decreasing along a ray.
        weights: of each section.
        count: samples a ray.
        jitter: place of each sample in its stratum, in [0, 1).
    """
    # A surface at the edge of a section may as well be in the next.
    wide = F.max_pool1d(F.pad(weights, (1, 1))[:, None], 3, stride=1)[:, 0]
    wide = wide / wide.sum(dim=1, keepdim=True).clamp(min=1e-6)
    pdf = (1 - UNIFORM_FRACTION) * wide + UNIFORM_FRACTION / weights.shape[1]
    cdf = F.pad(pdf.cumsum(dim=1), (1, 0))
    wanted = (torch.arange(count, device=depth.device) + jitter) / count * cdf[:, -1:]
    section = torch.searchsorted(cdf, wanted.contiguous(), right=True).clamp(1, weights.shape[1])
    low, high = (cdf.gather(1, section - side) for side in (1, 0))
    start, end = (depth.gather(1, section - side) for side in (1, 0))
    return start + (end - start) * (wanted - low) / (high - low).clamp(min=1e-9)


def merge_samples(first: ShellSamples, second: ShellSamples, num_rays: int) -> ShellSamples:
    """Samples of both, in order along each ray; what one of them lacks on a ray repeats the ray's last sample."""
    count = first.depth.shape[1]
    depth = first.depth.new_full((num_rays, count + second.depth.shape[1]), torch.inf)
    depth[first.ray, :count], depth[second.ray, count:] = first.depth, second.depth
    ray = torch.nonzero(depth.isfinite().any(dim=1))[:, 0]
    depth = depth[ray].sort(dim=1).values
    last = torch.where(depth.isfinite(), depth, -torch.inf).amax(dim=1, keepdim=True)
    return with_widths(ray, torch.minimum(depth, last))


def with_widths(ray: Int[Tensor, "M"], depth: Float[Tensor, "M C"]) -> ShellSamples:
    """Samples that stand each for what lies between it and the next."""
    return ShellSamples(ray, depth, depth.diff(dim=1, append=depth[:, -1:]))
