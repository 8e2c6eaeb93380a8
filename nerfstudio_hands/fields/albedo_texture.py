"""What a surface reflects, as a texture over its atlas."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.plane_encoding import total_variation
from nerfstudio_hands.fields.seams import seam_difference, seam_uv


class AlbedoTexture(nn.Module):
    """Colors in (0, 1) over texture coordinates: the logistic function of a sum of textures, each half as fine as the
    next.

    What no image shows is filled by the coarse levels, and a wrong color of a whole region is corrected by few texels.
    It starts as gray.

    Args:
        faces: Faces of the surface.
        face_uv: Texture coordinates in [0, 1] of every corner.
        size: Texels along the height of the finest level, a power of two; as many along each hand's width.
        coarsest: Texels along the height of the coarsest.
        num_hands: Hands whose atlases lie side by side.
    """

    seams: Tensor

    def __init__(
        self,
        faces: Int[Tensor, "F 3"],
        face_uv: Float[Tensor, "F 3 2"],
        *,
        size: int,
        coarsest: int = 16,
        num_hands: int = 1,
    ):
        super().__init__()
        self.num_hands = num_hands
        self.register_buffer("seams", seam_uv(faces, face_uv), persistent=False)
        sizes = [coarsest << level for level in range((size // coarsest).bit_length())]
        self.levels = nn.ParameterList(nn.Parameter(torch.zeros(1, 3, side, side * num_hands)) for side in sizes)

    def forward(self, uv: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
        grid = (uv * 2 - 1)[None, :, None]
        read = [F.grid_sample(level, grid, padding_mode="border", align_corners=False) for level in self.levels]
        return torch.sigmoid(torch.stack(read).sum(dim=0)[0, :, :, 0].T)

    @torch.no_grad()
    def image(self) -> Float[Tensor, "S W 3"]:
        """The finest level's texels with all levels in them, first row at v = 1 as in OBJ."""
        height, width = self.levels[-1].shape[-2:]
        v, u = (torch.arange(n, device=self.levels[0].device).add(0.5) / n for n in (height, width))
        v, u = torch.meshgrid(v.flip(0), u, indexing="ij")
        return self(torch.stack([u, v], dim=-1).view(-1, 2)).view(height, width, 3)

    def roughness(self) -> Float[Tensor, ""]:
        """Mean squared difference of neighboring texels before the logistic function, summed over the levels."""
        return total_variation(self.levels)

    def seam_difference(self) -> Float[Tensor, ""]:
        """Mean squared difference of the colors on both sides of a random point of every seam."""
        if not len(self.seams):
            return self.levels[0].new_zeros(())
        return seam_difference(self.seams, self)
