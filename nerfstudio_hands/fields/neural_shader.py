"""What a picture shows beyond a matt surface under a distant light: networks over what was rasterized.

After the mesh-based neural renderer of FMHR (AAAI 2024), an `mlp` on each pixel or a `unet` on the picture, with two
differences: the network adds to the shaded mesh instead of replacing it, and its view-dependent part is apart, so that
it can be held small where no camera has looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nerfstudio_hands.fields.frequency_encoding import FrequencyEncoding
from nerfstudio_hands.fields.warps import surface_warp
from nerfstudio_hands.transforms.spherical_harmonics import spherical_harmonics

VIEW_LEVELS = 4
POSITION_FREQUENCIES = 6


@dataclass
class GBuffer:
    """What was rasterized, an entry a pixel that shows the hand.

    Attributes:
        face, barycentric: Where on the surface it lies.
        normal: Unit normals, nerfstudio's world.
        albedo: Albedo.
        irradiance: Irradiance over pi.
        shaded: What a matt surface shows of it, as an image's values.
        directions: Unit viewing directions, from the camera.
    """

    face: Int[Tensor, " N"]
    barycentric: Float[Tensor, "N 3"]
    normal: Float[Tensor, "N 3"]
    albedo: Float[Tensor, "N 3"]
    irradiance: Float[Tensor, "N 3"]
    shaded: Float[Tensor, "N 3"]
    directions: Float[Tensor, "N 3"]


class NeuralShader(nn.Module):
    """Color of a rasterized hand: the shaded mesh times what networks say of place, normal and view.

    Args:
        faces: Faces of the surface.
        canonical: Vertices of its rest pose.
        variant: Whether a pixel is looked at alone (`mlp`) or with its neighborhood (`unet`).
        num_features: Learned features a vertex.
        hidden_dim: Width of the networks.
        num_layers: Layers of the `mlp`.

    Attributes:
        looks_around: Whether pixels are drawn with their neighborhood, for which it takes a picture.
    """

    faces: Tensor
    canonical: Tensor

    def __init__(
        self,
        faces: Int[Tensor, "F 3"],
        canonical: Float[Tensor, "V 3"],
        *,
        variant: Literal["mlp", "unet"],
        num_features: int,
        hidden_dim: int,
        num_layers: int,
    ):
        super().__init__()
        low, high = canonical.amin(dim=0), canonical.amax(dim=0)
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("canonical", (canonical - low) / (high - low).max(), persistent=False)
        self.looks_around = variant == "unet"
        self.features = nn.Parameter(0.1 * torch.randn(len(canonical), num_features))
        self.encoding = FrequencyEncoding(
            in_dim=3,
            num_frequencies=POSITION_FREQUENCIES,
            min_freq_exp=0.0,
            max_freq_exp=POSITION_FREQUENCIES - 1.0,
            include_input=True,
        )
        fixed = self.encoding.get_out_dim() + 9 + 3 + 3 + num_features
        viewed = hidden_dim + VIEW_LEVELS**2 + 1
        self.body = PixelNetwork(fixed, hidden_dim, num_layers) if variant == "mlp" else ImageNetwork(fixed, hidden_dim)
        self.diffuse = nn.Linear(hidden_dim, 3)
        self.view = nn.Sequential(nn.Linear(viewed, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 3))
        for last in (self.diffuse, self.view[-1]):
            nn.init.zeros_(last.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]

    def forward(
        self, gbuffer: GBuffer, visible: Bool[Tensor, "*R"]
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
        """Color of the pixels that show the hand.

        Args:
            gbuffer: What they show.
            visible: Which pixels these are; a picture [H, W] for the `unet`.

        Returns:
            The color, at first that of the shaded mesh, and the logarithm of its view-dependent factor.
        """
        known = torch.cat([self.canonical, self.features], dim=-1)
        place, features = surface_warp(known, self.faces, gbuffer.face, gbuffer.barycentric).tensor_split([3], dim=-1)
        inputs = [
            self.encoding(place),
            spherical_harmonics(3, gbuffer.normal),
            gbuffer.albedo,
            gbuffer.shaded,
            features,
        ]
        hidden = self.body(torch.cat(inputs, dim=-1), visible)
        facing = (gbuffer.directions * gbuffer.normal).sum(dim=-1, keepdim=True)
        mirrored = gbuffer.directions - 2 * facing * gbuffer.normal
        view = self.view(torch.cat([hidden, spherical_harmonics(VIEW_LEVELS, mirrored), facing], dim=-1))
        return gbuffer.shaded * (self.diffuse(hidden) + view).exp(), view


class PixelNetwork(nn.Module):
    """A multilayer perceptron on each pixel."""

    def __init__(self, in_dim: int, hidden_dim: int, num_layers: int):
        super().__init__()
        widths = [in_dim, *[hidden_dim] * num_layers]
        layers = [layer for pair in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Float[Tensor, "N C"], visible: Bool[Tensor, "*R"]) -> Float[Tensor, "N D"]:
        return self.layers(values)


class ImageNetwork(nn.Module):
    """A U-Net (Ronneberger et al., MICCAI 2015) of three resolutions on the picture; what shows no hand is zero."""

    def __init__(self, in_dim: int, hidden_dim: int):
        super().__init__()
        self.start = nn.Linear(in_dim, hidden_dim)
        self.down = nn.ModuleList(_convolutions(hidden_dim, hidden_dim) for _ in range(3))
        self.up = nn.ModuleList(_convolutions(2 * hidden_dim, hidden_dim) for _ in range(2))

    def forward(self, values: Float[Tensor, "N C"], visible: Bool[Tensor, "H W"]) -> Float[Tensor, "N D"]:
        pixels = visible.nonzero(as_tuple=True)
        first = F.relu(self.start(values))
        image = first.new_zeros(*visible.shape, first.shape[-1]).index_put(pixels, first).permute(2, 0, 1)[None]
        levels = [self.down[0](image)]
        for block in self.down[1:]:
            levels.append(block(F.avg_pool2d(levels[-1], 2, ceil_mode=True)))
        found = levels.pop()
        for block in self.up:
            skip = levels.pop()
            larger = F.interpolate(found, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            found = block(torch.cat([skip, larger], dim=1))
        return found[0].permute(1, 2, 0)[pixels]


def _convolutions(in_dim: int, out_dim: int) -> nn.Sequential:
    layers = []
    for channels in (in_dim, out_dim):
        layers += [nn.Conv2d(channels, out_dim, 3, padding=1), nn.GroupNorm(4, out_dim), nn.ReLU()]
    return nn.Sequential(*layers)
