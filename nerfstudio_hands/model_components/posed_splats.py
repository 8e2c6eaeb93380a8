"""Splats of a surface, posed with it and seen from somewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from nerfstudio_hands.fields.surface_splats import VIEW_LEVELS, SurfaceSplats
from nerfstudio_hands.fields.vertex_look import VertexLook
from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.face_frames import FaceFrames
from nerfstudio_hands.geometry.splats.projection import Splats
from nerfstudio_hands.geometry.splats.surface import carry_splats
from nerfstudio_hands.model_components.export_source import ColorFn
from nerfstudio_hands.model_components.posed_hands import PosedSurfaces
from nerfstudio_hands.transforms.spherical_harmonics import spherical_harmonics

NEIGHBORS = 6
"""Splats of which the color of a point of the surface is the mean."""


@dataclass
class PosedSplats:
    """N splats in one pose.

    Attributes:
        splats: Gaussians, nerfstudio's world.
        normals: unit normals of the surface below them, of free ones third axes, nerfstudio's world [N, 3].
        diffuse: color that is the same from everywhere, in the pose's light [N, 3].
        view: what is added to it over the mirrored view, see `SurfaceSplats` [N, 3, 3].
        num_held: how many of the last of them are of what hands hold.
    """

    splats: Splats
    normals: Float[Tensor, "N 3"]
    diffuse: Float[Tensor, "N 3"]
    view: Float[Tensor, "N L 3"]
    num_held: int = 0

    def tensors(self) -> tuple[Tensor, ...]:
        """Means, axes, opacities, normals, diffuse colors, and what is added to these over the view."""
        splats = self.splats
        return splats.means, splats.axes, splats.opacities, self.normals, self.diffuse, self.view

    def of_held(self) -> Float[Tensor, "N 1"]:
        """One for the splats of what hands hold, zero for their own."""
        count = len(self.normals)
        return (torch.arange(count, device=self.normals.device) >= count - self.num_held).to(self.normals)[:, None]

    def colors(self, origin: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
        """Colors seen from a place in nerfstudio's world.

        The harmonics are those of the mirrored direction, for a light stays where it is when the hand turns (Ref-NeRF,
        arXiv 2112.03907).
        """
        toward = F.normalize(self.splats.means - origin, dim=-1).detach()
        mirrored = toward - 2 * (toward * self.normals).sum(dim=-1, keepdim=True) * self.normals
        harmonics = spherical_harmonics(VIEW_LEVELS, mirrored)[:, 1:, None]
        return (self.diffuse + (harmonics * self.view).sum(dim=1)).clamp(min=0)

    def linear(self) -> Float[Tensor, "N 3 3"]:
        """The factors of `view` as those of harmonics of the direction from the eye, which mirroring turns into these:
        those of level one are a vector, in the order y, z, x."""
        vectors, normal = self.view[:, [2, 0, 1]], self.normals[:, :, None]
        mirrored = vectors - 2 * normal * (normal * vectors).sum(dim=1, keepdim=True)
        return mirrored[:, [1, 2, 0]]


def with_held(hands: PosedSplats, held: PosedSplats) -> PosedSplats:
    """The splats of hands, and after them those of what they hold: sorted by depth together, each hides the other."""
    joined = (torch.cat(parts) for parts in zip(hands.tensors(), held.tensors(), strict=True))
    means, axes, opacities, normals, diffuse, view = joined
    return PosedSplats(Splats(means, axes, opacities), normals, diffuse, view, num_held=len(held.normals))


def splat_colors(shown: PosedSplats, reach: float, exposure: Callable[[Tensor], Tensor]) -> ColorFn:
    """Colors of points of a surface: the mean of the nearest splats, without reflections.

    Args:
        shown: Splats of one pose.
        reach: Distance at which a splat counts less, meters.
        exposure: From the splats' colors to those of files.
    """
    tree = KDTree(shown.splats.means.cpu().numpy())

    def color(
        points: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        normal: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        distance, nearest = (torch.from_numpy(found).to(points.device) for found in tree.query(points.cpu(), NEIGHBORS))
        # Relative to the nearest, so that not all weights vanish where every splat is far.
        weight = torch.exp(-0.5 * (distance**2 - distance[:, :1] ** 2) / reach**2).to(points)
        mean = (weight[..., None] * shown.diffuse[nearest]).sum(dim=1) / weight.sum(dim=1, keepdim=True)
        return exposure(mean)

    return color


def pose_splats(
    splats: SurfaceSplats, look: VertexLook, frames: FaceFrames, posed: PosedSurfaces, surface: int
) -> PosedSplats:
    """Carries splats with one of the posed surfaces; without gradients by a kernel."""
    vertices, normals = posed.surfaces.vertices[surface], posed.normals[surface]
    brightness, seen = look.brightness(posed.light[surface]), look.height_and_color(posed.code[surface])
    if not torch.is_grad_enabled():
        of_vertices = (vertices, normals, brightness, seen[:, 0], seen[:, 1:])
        return PosedSplats(*carry_splats(splats.layout(frames.faces), *of_vertices, frames(vertices)))
    values = torch.cat([vertices, normals, brightness, seen], dim=-1)
    there = blend_corners(values[frames.faces[splats.face]], splats.barycentric())
    place, normal, bright, higher, color = there.split([3, 3, 3, 1, 3], dim=-1)
    normal = F.normalize(normal, dim=-1)
    height = splats.shell * (splats.height[:, None] + higher).tanh()
    return PosedSplats(
        splats=Splats(place + height * normal, splats.axes(frames(vertices)), splats.opacities()),
        normals=normal,
        diffuse=(splats.color + color) * bright,
        view=splats.view * bright[:, None],
    )
