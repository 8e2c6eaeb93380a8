"""Gaussians that lie on the faces of a surface: where, how large, how opaque and of which color."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor, nn

from nerfstudio_hands.geometry.barycentric import blend_corners
from nerfstudio_hands.geometry.mesh import face_areas
from nerfstudio_hands.geometry.splats.surface import SplatLayout

VIEW_LEVELS = 2
"""Levels of spherical harmonics of the color over the view, the constant one among them."""

WIDTHS = (0.7, 1.6)
"""Shortest and longest half axis of a splat along the surface, over the mean distance to the next splat: longer ones
stick out as needles, shorter ones leave holes."""

START_WIDTH = 0.9
"""The same at first."""

THICKNESS = 0.1
"""Half axis along the normal over the mean distance to the next splat."""

MIN_OPACITY = 0.7
"""Least opacity of a splat: where the masks of cameras that are some pixels off disagree, the skin is no less there."""

START_OPACITY = 0.9

DENSEST = 2.0
"""How many times as dense as on average splats lie at most where they are dealt out anew."""

SPARSEST = 0.5
"""How many times at least."""


class SurfaceSplats(nn.Module):
    """N flat splats, each on a face of a surface at rest: nothing here depends on a pose.

    Places are held in their faces and in a shell round them, sizes in an interval, and splats lie along the surface:
    pictures of cameras that are some pixels off would otherwise make them needles.

    Args:
        vertices: Of the surface at rest, meters.
        faces: Of the surface.
        allowed: Faces that may carry splats.
        count: N.
        shell: Half width of the shell, meters.

    Attributes:
        face: the face of each splat [N].
        spacing: mean distance from it to the next ones, meters [N].
        error: what each face has of :meth:`watch` since splats were dealt out [F].
        place: logarithms of its barycentric coordinates, up to a constant [N, 3].
        height: its distance from the face along the normal, as a part of the shell, before it is held in it [N].
        size: its half axes along the surface, before they are held in `WIDTHS` [N, 2].
        turn: how far the first is turned from the face's first edge, radians [N].
        opacity: before it is held between `MIN_OPACITY` and one [N].
        color: what is added to the color of its vertices, seen from everywhere, as pictures are encoded [N, 3].
        view: what is added to it over the mirrored view, the harmonics beyond the constant one [N, 3, 3].
    """

    face: Tensor
    spacing: Tensor
    error: Tensor
    area: Tensor
    corners: Tensor

    def __init__(
        self,
        vertices: Float[Tensor, "V 3"],
        faces: Int[Tensor, "F 3"],
        allowed: Bool[Tensor, " F"],
        *,
        count: int,
        shell: float,
    ):
        super().__init__()
        self.shell = shell
        area = face_areas(vertices, faces) * allowed
        face, barycentric = evenly_spread(area, count)
        self.register_buffer("face", face)
        self.register_buffer("spacing", (area.sum() / count).sqrt().repeat(count))
        self.register_buffer("error", torch.zeros_like(area))
        self.register_buffer("area", area, persistent=False)
        self.register_buffer("corners", vertices[faces], persistent=False)
        self.place = nn.Parameter(barycentric.log())
        self.height = nn.Parameter(torch.zeros(count))
        share = (START_WIDTH - WIDTHS[0]) / (WIDTHS[1] - WIDTHS[0])
        self.size = nn.Parameter(torch.full((count, 2), logit(share)))
        self.turn = nn.Parameter(torch.zeros(count))
        self.opacity = nn.Parameter(torch.full((count,), logit((START_OPACITY - MIN_OPACITY) / (1 - MIN_OPACITY))))
        self.color = nn.Parameter(torch.zeros(count, 3))
        self.view = nn.Parameter(torch.zeros(count, VIEW_LEVELS**2 - 1, 3))

    def __len__(self) -> int:
        return len(self.face)

    def barycentric(self) -> Float[Tensor, "N 3"]:
        """Where in its face each splat lies."""
        return self.place.softmax(dim=-1)

    def half_axes(self) -> Float[Tensor, "N 2"]:
        """How long the half axes along the surface are, meters."""
        low, high = WIDTHS
        return self.spacing[:, None] * (low + (high - low) * self.size.sigmoid())

    def thickness(self) -> Float[Tensor, " N"]:
        """How long the half axis along the normal is, meters."""
        return THICKNESS * self.spacing

    def farthest(self) -> float:
        """Meters from its middle at which no splat is seen any more, also on a face that a pose makes half as long
        again: there it has 1/255 of the largest opacity."""
        return 1.5 * WIDTHS[1] * float(self.spacing.max()) * math.sqrt(2 * math.log(255))

    def opacities(self) -> Float[Tensor, " N"]:
        """How much each hides in its middle."""
        return MIN_OPACITY + (1 - MIN_OPACITY) * self.opacity.sigmoid()

    def layout(self, faces: Int[Tensor, "F 3"]) -> SplatLayout:
        """All of it, for kernels that carry splats along with a surface of these faces."""
        return SplatLayout(
            faces=faces,
            face=self.face,
            place=self.place,
            half_axes=self.half_axes(),
            turn=self.turn,
            thickness=self.thickness(),
            opacities=self.opacities(),
            height=self.height,
            color=self.color,
            view=self.view,
            shell=self.shell,
        )

    def axes(self, frames: Float[Tensor, "F 3 3"]) -> Float[Tensor, "N 3 3"]:
        """The half axes, a row each, meters.

        Args:
            frames: Of the faces, an axis a row, see `FaceFrames`.
        """
        along, across, normal = frames[self.face].unbind(1)
        cosine, sine = self.turn.cos()[:, None], self.turn.sin()[:, None]
        long, wide = self.half_axes()[..., None].unbind(1)
        first, second = cosine * along + sine * across, cosine * across - sine * along
        return torch.stack([long * first, wide * second, self.thickness()[:, None] * normal], dim=1)

    # Density ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def watch(self, pull: Float[Tensor, " N"]) -> None:
        """Remembers by how much a step of the training would move each splat: where pulls are large, one step after the
        other, there is more in the pictures than splats of this size show (Kerbl et al. 2023, section 5.2).

        Args:
            pull: Length of the loss's gradient by the middle of each.
        """
        self.error.index_add_(0, self.face, pull)

    @torch.no_grad()
    def deal_out(self, faces: Int[Tensor, "F 3"]) -> Int[Tensor, " N"]:
        """Deals splats out anew over the faces, as many as before and the denser the larger errors round a face are;
        each takes over what the nearest one has learned.

        Args:
            faces: Of the surface.

        Returns:
            Which that is.
        """
        count = torch.bincount(self.face, minlength=len(self.area)).to(self.error)
        # Of all faces round a corner, for some have no splat.
        at_corners = self.error.new_zeros(int(faces.max()) + 1)
        error, splats = (
            at_corners.index_add(0, faces.flatten(), values.repeat_interleave(3))[faces].sum(dim=1)
            for values in (self.error, count)
        )
        mean = self.error.sum() / len(self)
        density = (error / (splats * mean)).sqrt().nan_to_num(1.0).clamp(SPARSEST, DENSEST)
        face, barycentric = evenly_spread(self.area * density, len(self))
        old, new = (
            blend_corners(self.corners[at], where).cpu().numpy()
            for at, where in ((self.face, self.barycentric()), (face, barycentric))
        )
        nearest = torch.from_numpy(KDTree(old).query(new)[1]).to(face)
        for values in self.parameters():
            values.copy_(values[nearest])
        self.place.copy_(barycentric.log())
        self.face.copy_(face)
        self.spacing.copy_(((self.area * density).sum() / (len(self) * density[face])).sqrt())
        self.error.zero_()
        return nearest

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Earlier files have splats that are equally dense everywhere."""
        spacing = state_dict.get(f"{prefix}spacing")
        if spacing is not None and not spacing.ndim:
            state_dict[f"{prefix}spacing"] = spacing.repeat(len(self))
            state_dict[f"{prefix}error"] = torch.zeros_like(self.error)
        super()._load_from_state_dict(state_dict, prefix, *args)


def evenly_spread(area: Float[Tensor, " F"], count: int) -> tuple[Int[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Points on faces, as many on each as its area is worth, and far from each other within it: where points are drawn
    at random, some places have none.

    Within a face they follow the triangular van der Corput sequence (Basu and Owen, "Low discrepancy constructions in
    the triangle", 2015).

    Args:
        area: Of the faces.
        count: N.

    Returns:
        The face of each point, and where in it the point lies, none of the coordinates zero.
    """
    share = area.double().cumsum(0) / area.double().sum()
    number = torch.arange(count, device=area.device)
    face = torch.searchsorted(share, (number + 0.5).double() / count).clamp(max=len(area) - 1)
    which = number - torch.searchsorted(face, face)
    corners = torch.eye(3, device=area.device).expand(count, 3, 3)
    for _ in range(math.ceil(math.log(count, 4)) + 1):
        digit, which = which % 4, which // 4
        halves = (corners + corners.roll(-1, dims=1)) / 2  # Of the sides 01, 12, 20.
        parts = torch.stack(
            [
                halves[:, [1, 2, 0]],
                torch.stack([corners[:, 0], halves[:, 0], halves[:, 2]], dim=1),
                torch.stack([halves[:, 0], corners[:, 1], halves[:, 1]], dim=1),
                torch.stack([halves[:, 2], halves[:, 1], corners[:, 2]], dim=1),
            ],
            dim=1,
        )
        corners = parts[torch.arange(count, device=area.device), digit]
    return face, corners.mean(dim=1)


def logit(share: float) -> float:
    """What the sigmoid makes a share of."""
    return math.log(share / (1 - share))
