"""Where the rays of a whole picture meet a learned surface, without asking its field along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from nerfstudio_hands.fields.hand_field import Radiance
from nerfstudio_hands.geometry.query.layers import CLEAR_SCALES
from nerfstudio_hands.geometry.raster.shell_entry import shell_entry
from nerfstudio_hands.hand_model import HandSurface
from nerfstudio_hands.model_components.compositing import WeightedSamples, composite_outputs, empty_outputs
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.model_components.rasterization import pinhole_rays
from nerfstudio_hands.model_components.weights import density_weights

MAX_CORRECTION = (-0.5, 4.0)
"""Scales by which the field may move a layer at most beside what its vertices say, away from where the ray comes from
and toward it. What is further away than it was thought is hardly less opaque: the ray meets it a little later."""


@dataclass
class ImageLayers:
    """Layers of a learned surface that are seen in a picture of R rays, each a sample of its own.

    Attributes:
        num_rays: R.
        ray: the M rays that come near the surface [M].
        depth: of their layers, meters; 0 where there is none [M, L].
        optical_depth: of these; 0 where there is none [M, L].
        shown: the layers that there are, as indices into the flattened others [N].
    """

    num_rays: int
    ray: Int[Tensor, "M"]
    depth: Float[Tensor, "M L"]
    optical_depth: Float[Tensor, "M L"]
    shown: Int[Tensor, "N"]

    @property
    def shown_ray(self) -> Int[Tensor, "N"]:
        """The ray of each layer that there is."""
        return self.ray[self.shown // self.depth.shape[1]]

    @property
    def shown_depth(self) -> Float[Tensor, "N"]:
        """Its depth, meters."""
        return self.depth.flatten()[self.shown]

    def weighted(self, further: Float[Tensor, "N"], scale: Float[Tensor, ""]) -> WeightedSamples:
        """The layers as samples.

        Args:
            further: how much further below the fitted surface each lies than was known when it was found, meters: the
                light that it swallows falls with it, as it does before any surface.
            scale: width over which the surface turns from empty to opaque, meters.
        """
        change = torch.exp((-further / scale).clamp(*MAX_CORRECTION))
        found = self.optical_depth.flatten()
        found = found.index_copy(0, self.shown, found[self.shown] * change).view_as(self.optical_depth)
        weight = density_weights(found, torch.ones_like(found))
        return WeightedSamples(self.num_rays, self.ray, self.depth, weight, self.shown)


class SoftSurface(NamedTuple):
    """A learned surface, beside the fitted one.

    Attributes:
        below: how far below each vertex of the fitted surfaces it lies, meters, see `Surfaces.layers` [S, V, K].
        scale: width over which it turns from empty to opaque, meters [].
        kind: what its opacity comes from.
    """

    below: Float[Tensor, "S V K"]
    scale: Float[Tensor, ""]
    kind: Literal["density", "distance"]


@dataclass
class Look:
    """What N layers show.

    Attributes:
        color: seen from where their rays come [N, 3].
        normal: unit normals, world frame [N, 3].
        further: how much further below the fitted surface they lie than was known when they were found, meters [N].
    """

    color: Float[Tensor, "N 3"]
    normal: Float[Tensor, "N 3"]
    further: Float[Tensor, "N"]


def draw_layers(
    rays: RayBundle,
    layers: ImageLayers,
    look: Callable[[RayBundle, Int[Tensor, "N"], Float[Tensor, "N 1"]], Look],
    *,
    scale: Float[Tensor, ""],
    respond: Callable[[Float[Tensor, "R 3"], Float[Tensor, "R 1"]], Float[Tensor, "R 3"]],
    beyond: Float[Tensor, "R 1"],
    chunk: int,
) -> dict[str, Tensor]:
    """What the R rays of a picture show: see `composite_outputs`.

    Args:
        rays: of the picture [H, W].
        layers: what they meet.
        look: what layers show, from all rays, and the ray and the depth of each layer.
        scale: width over which the surface turns from empty to opaque, meters.
        respond: from colors over black, and opacities, to what the camera records.
        beyond: depth of what is not there, meters.
        chunk: layers that are looked at at once.
    """
    if not len(layers.shown):
        return empty_outputs(beyond)
    flat = rays.flatten()
    parts = (values.split(chunk) for values in (layers.shown_ray, layers.shown_depth[:, None]))
    looks = [look(flat, ray, depth) for ray, depth in zip(*parts, strict=True)]
    color = torch.cat([part.color for part in looks])
    normal = torch.cat([part.normal for part in looks])
    samples = layers.weighted(torch.cat([part.further for part in looks]), scale)
    radiance = Radiance(color, color, color)
    return composite_outputs(samples, radiance, normal, respond=respond, beyond=beyond, training=False)


def faces_of_hands(surface: HandSurface) -> Bool[Tensor, " F"]:
    """Faces by which something is seen: neither those of the forearm nor, at the end, those that close the wrists."""
    return torch.cat([surface.face_is_hand, torch.zeros_like(surface.closing_faces[:, 0], dtype=torch.bool)])


def shell_distances(count: int, shell: float, device: torch.device) -> Float[Tensor, " K"]:
    """Distances, evenly through the shell from inside to outside, meters."""
    return torch.linspace(-shell, shell, count, device=device)


def reach(below: Float[Tensor, "V K"], scale: Float[Tensor, ""], shell: float) -> Float[Tensor, " V"]:
    """Distances from the vertices of the fitted surface beyond which the learned one is not seen, meters."""
    distances = shell_distances(below.shape[1], shell, below.device)
    seen = distances + below < CLEAR_SCALES * scale
    step = distances[1] - distances[0]
    return (torch.where(seen, distances, -shell).amax(dim=1) + step).clamp(0, shell)


def below_at(
    below: Float[Tensor, "S V K"],
    faces: Int[Tensor, "F 3"],
    at: tuple[Int[Tensor, "N"], Int[Tensor, "N"], Float[Tensor, "N 3"]],
    distance: Float[Tensor, "N"],
) -> Float[Tensor, "N"]:
    """What is known at vertices, between these.

    Args:
        below: how far below each vertex the learned surface lies, see `Surfaces.layers`.
        faces: vertex indices.
        at: surface, face and barycentric coordinates.
        distance: signed distance, in half widths of the shell.
    """
    surface, face, barycentric = at
    last = below.shape[2] - 1
    place = ((distance + 1) * 0.5 * last).clamp(0, last)
    low = place.long().clamp(max=last - 1)
    part = (place - low)[:, None]
    corners = (surface[:, None], faces[face])
    found = torch.lerp(below[(*corners, low[:, None])], below[(*corners, low[:, None] + 1)], part)
    return (found * barycentric).sum(dim=-1)


def find_image_layers(
    rays: RayBundle,
    posed: PosedSurfaces,
    surface: SoftSurface,
    *,
    counts: Bool[Tensor, " F"],
    shell: float,
    max_steps: int,
) -> ImageLayers:
    """Layers that the rays of a picture [H, W] meet; see `Surfaces.layers`.

    Those of a pinhole camera are followed from where they come near the surface on; of any other all are, from the box
    round the shell.
    """
    surfaces, origins, directions = posed.surfaces, rays.origins.view(-1, 3), rays.directions.view(-1, 3)
    entry = None
    if surfaces.num_surfaces == 1:
        entry = shell_entry(surfaces, reach(surface.below[0], surface.scale, shell), *pinhole_rays(rays))
    if entry is None:
        ray, starts, seeds = torch.arange(len(origins), device=origins.device), None, None
    else:
        ray = torch.nonzero(entry.face.view(-1) >= 0)[:, 0]
        starts, seeds = entry.depth.view(-1)[ray], entry.face.view(-1)[ray]
    found = surfaces.layers(
        origins[ray],
        directions[ray],
        posed.ray_surface[ray],
        **surface._asdict(),
        counts=counts,
        shell=shell,
        starts=starts,
        seeds=seeds,
        max_steps=max_steps,
    )
    shown = torch.nonzero(found.optical_depth.view(-1) > 0)[:, 0]
    return ImageLayers(len(origins), ray, found.depth, found.optical_depth, shown)
