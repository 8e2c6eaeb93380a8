"""Pictures of a hand whose vertices have colors, and how they differ from photographs of it; all with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torchmetrics.functional import structural_similarity_index_measure

from nerfstudio_hands.geometry.mesh import vertex_normals
from nerfstudio_hands.geometry.query.surfaces import Surfaces
from nerfstudio_hands.geometry.raster.antialias import antialias
from nerfstudio_hands.geometry.raster.interpolate import interpolate
from nerfstudio_hands.geometry.raster.rasterize import rasterize_rays
from nerfstudio_hands.model_components.hand_losses import weighted_mean
from nerfstudio_hands.transforms.projection import pixel_rays
from nerfstudio_hands.transforms.spherical_harmonics import irradiance

UNKNOWN = 255
"""Value of a mask where nobody knows whether there is the hand."""

BEHIND = 0.5
"""Gray that both the picture and the photograph are laid over, so that neither a larger nor a smaller hand is
cheaper."""

CLAY = (0.85, 0.68, 0.60)
"""Color of a hand without a texture, as displayed."""
HEADLIGHT = (2.2, -0.5, -0.9, -0.2)
"""Light from the camera and a little from above (OpenCV axes: y points down, z away), spherical harmonics."""


@dataclass
class DrawnHand:
    """What a camera sees of a hand.

    Attributes:
        colors: Times `covered`.
        covered: Part of each pixel that is the hand.
        depth: Meters, 0 where there is no hand; without gradients at its outline.
    """

    colors: Float[Tensor, "H W 3"]
    covered: Float[Tensor, "H W 1"]
    depth: Float[Tensor, "H W 1"]

    def over(self, behind: Float[Tensor, "H W 3"] | float) -> Float[Tensor, "H W 3"]:
        """The hand before something."""
        return self.colors + (1 - self.covered) * behind

    def layers(self) -> dict[str, Float[Tensor, "H W C"]]:
        """Colors of the hand alone, how much of each pixel it covers, and depth, by nerfstudio's names."""
        return {
            "rgb": self.colors / self.covered.clamp_min(1e-6),
            "accumulation": self.covered,
            "depth": self.depth,
        }


def drawn_hand(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    colors: Float[Tensor, "V 3"],
    intrinsics: Float[Tensor, "3 3"],
    size: tuple[int, int],
    world_to_camera: Float[Tensor, "4 4"] | None = None,
) -> DrawnHand:
    """Draws a hand; differentiable in vertices and colors.

    Args:
        vertices: Meters.
        faces: Of the hand.
        colors: Of the vertices, as displayed.
        intrinsics: K, pixels.
        size: Width and height, pixels.
        world_to_camera: From the vertices' axes to OpenCV's of the camera; by default they are in these.
    """
    to_camera = torch.eye(4, device=vertices.device) if world_to_camera is None else world_to_camera
    surfaces = Surfaces(faces, vertices[None])
    rays = pixel_rays(intrinsics, to_camera, *size)
    raster = rasterize_rays(surfaces, *rays)
    seen = (raster.face >= 0)[..., None]
    covered = seen.to(vertices)
    shown = interpolate(colors, raster, faces)
    soft = antialias(torch.cat([shown, covered], -1), raster, surfaces, *rays)
    return DrawnHand(soft[..., :3], soft[..., 3:], torch.where(seen, raster.z_depth[..., None], 0.0))


def clay_colors(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Colors of a hand without a texture in the light of `HEADLIGHT`."""
    shade = irradiance(vertices.new_tensor(HEADLIGHT)[:, None], vertex_normals(vertices, faces))
    return (shade * vertices.new_tensor(CLAY)).clamp(0, 1)


@dataclass
class PhotometricTerms:
    """How a drawn hand differs from the photograph.

    Attributes:
        silhouette: Mean difference of coverage and mask; 0 where there is no mask.
        photometric: Mean difference of colors where either shows the hand.
        ssim: One minus the structural similarity there.
        mean_color: Difference of the mean colors.
    """

    silhouette: Tensor
    photometric: Tensor
    ssim: Tensor
    mean_color: Tensor


def photometric_terms(
    drawn: DrawnHand, photograph: UInt8[Tensor, "3 S S"], mask: UInt8[Tensor, "S S"]
) -> PhotometricTerms:
    """Compares a drawn hand with a photograph.

    Both are laid over the same gray. The photograph's hand is where its mask says; without a mask it is where the drawn
    one is, which then learns nothing of where it should be.

    Args:
        drawn: The hand.
        photograph: Bytes.
        mask: 1 on the hand, 0 elsewhere, `UNKNOWN` where that is not known.
    """
    photo = photograph.permute(1, 2, 0).float() / 255
    has_mask = bool((mask != UNKNOWN).any())
    known = (mask != UNKNOWN)[..., None].float() if has_mask else torch.ones_like(drawn.covered)
    truth = (mask == 1)[..., None].float() if has_mask else drawn.covered.detach()
    found = drawn.over(BEHIND) if has_mask else drawn.colors + BEHIND * (1 - truth)
    wanted = photo * truth + BEHIND * (1 - truth)
    region = known * torch.maximum(truth, drawn.covered.detach())
    silhouette = weighted_mean((drawn.covered - truth).abs(), known) if has_mask else drawn.covered.sum() * 0
    difference = weighted_mean((found - wanted).abs().mean(-1, keepdim=True), region)
    similar = structural_similarity_index_measure(
        (found * known).permute(2, 0, 1)[None], (wanted * known).permute(2, 0, 1)[None], data_range=1.0
    )
    mean_found = (drawn.colors * known).sum((0, 1)) / (drawn.covered * known).sum().clamp_min(1)
    mean_wanted = (photo * truth * known).sum((0, 1)) / (truth * known).sum().clamp_min(1)
    return PhotometricTerms(silhouette, difference, 1 - similar, (mean_found - mean_wanted).abs().mean())  # pyright: ignore[reportOperatorIssue]
