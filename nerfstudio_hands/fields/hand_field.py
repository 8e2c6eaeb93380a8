"""The radiance of a hand near its surface: what is evaluated behind the warps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.field_components.mlp import MLP
from nerfstudio.utils.external import TCNN_EXISTS
from torch import Tensor, nn

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fields.frequency_encoding import FrequencyEncoding
from nerfstudio_hands.fields.position_encoding import PositionEncoding
from nerfstudio_hands.fields.surface_samples import SurfaceSamples
from nerfstudio_hands.transforms.spherical_harmonics import spherical_harmonics

NUM_SH_LEVELS = 4
GEOMETRY_FEATURES = 15
DISTANCE_FREQUENCIES = 4
LIGHT_WIDTH = 32


def require_implementation(implementation: Literal["tcnn", "torch"], device: torch.device | str) -> None:
    """See that the networks of color can run.

    Raises:
        HandsError: tinycudann is wanted, and it is not installed or the device is another than CUDA.
    """
    on_cuda = torch.device(device).type == "cuda"
    if implementation == "tcnn" and not (on_cuda and TCNN_EXISTS):
        raise HandsError(
            f"--pipeline.model.implementation tcnn: expected {'tinycudann' if on_cuda else 'a CUDA device'}, found "
            f"{'that it is not installed' if on_cuda else device}: "
            + ("install it, or train with torch." if on_cuda else "train with torch.")
        )


@dataclass
class Geometry:
    """What the field says of the surface at sample points, and what it needs to know for their color.

    Attributes:
        shift: how far below the fitted surface the learned one lies, in half widths of the shell, in (-1, 1) [N].
        position: features of the place on the hand [N, C].
        features: learned features [N, G].
    """

    shift: Float[Tensor, "N"]
    position: Float[Tensor, "N C"]
    features: Float[Tensor, "N G"]

    def __getitem__(self, index: Tensor) -> Geometry:
        return Geometry(self.shift[index], self.position[index], self.features[index])


@dataclass
class Radiance:
    """What the field says of the color of sample points.

    Attributes:
        diffuse: color without the view-dependent part, linear in the camera's units and unbounded above [N, 3].
        color: color seen from the given direction [N, 3].
        view_residual: the view-dependent part before the activation; regularized towards zero [N, 3].
    """

    diffuse: Float[Tensor, "N 3"]
    color: Float[Tensor, "N 3"]
    view_residual: Float[Tensor, "N 3"]


class RadianceHead(nn.Module):
    """Color of places on the skin, whatever says where they are and how the surface runs there.

    Color is a product: what the skin looks like at its place, and how much light reaches it. The second factor is a
    small network over the light transfer alone, so that what it learns of shadows in one place and pose holds in all.

    Args:
        position_dim: numbers that say what the place looks like from everywhere.
        feature_dim: learned features of the geometry.
        light_dim: numbers of the light transfer; 0 for none.
        hidden_dim: width of the networks.
        implementation: "tcnn" or "torch", for the networks.
    """

    def __init__(
        self,
        *,
        position_dim: int,
        feature_dim: int,
        light_dim: int,
        hidden_dim: int,
        implementation: Literal["tcnn", "torch"],
    ):
        super().__init__()

        def network(in_dim: int, width: int) -> MLP:
            return MLP(
                in_dim=in_dim,
                num_layers=2,
                layer_width=width,
                out_dim=3,
                activation=nn.ReLU(),
                implementation=implementation,
            )

        self.diffuse = network(position_dim + feature_dim, hidden_dim)
        self.view = network(feature_dim + NUM_SH_LEVELS**2 + 1, hidden_dim)
        self.light = network(light_dim, LIGHT_WIDTH) if light_dim else None

    def color(
        self,
        position: Float[Tensor, "N P"],
        features: Float[Tensor, "N G"],
        normal: Float[Tensor, "N 3"],
        light: Float[Tensor, "N C"],
        directions: Float[Tensor, "N 3"],
    ) -> Radiance:
        """Color of sample points.

        Args:
            position: what the place looks like from everywhere.
            features: learned features of the geometry.
            normal: unit normals, world frame.
            light: light transfer.
            directions: unit viewing directions, from the camera, world frame.
        """
        if not len(position) and not torch.is_grad_enabled():
            nothing = position.new_zeros(0, 3)  # for which tinycudann cannot be asked
            return Radiance(nothing, nothing, nothing)
        diffuse_logit = self.diffuse(torch.cat([position, features], dim=-1)).float()
        # Gloss depends on the mirrored direction rather than on the direction itself (Ref-NeRF, arXiv 2112.03907).
        facing = (directions * normal).sum(dim=-1, keepdim=True)
        mirrored = directions - 2 * facing * normal
        harmonics = spherical_harmonics(NUM_SH_LEVELS, mirrored)
        view_residual = self.view(torch.cat([features, harmonics, facing], dim=-1)).float()
        light = self.light(light).float().exp() if self.light is not None else 1.0  # pyright: ignore[reportAssignmentType]
        return Radiance(
            diffuse=F.softplus(diffuse_logit) * light,
            color=F.softplus(diffuse_logit + view_residual) * light,
            view_residual=view_residual,
        )


class HandField(RadianceHead):
    """Learned surface offset and color over (place on the hand, signed distance, pose, light, view
    direction).

    Args:
        position: features of the place on the hand.
        pose_dim: numbers of the pose code.
        light_dim: numbers of the light transfer; 0 for none.
        hidden_dim: width of the networks.
        implementation: "tcnn" or "torch", for the networks.
    """

    def __init__(
        self,
        position: PositionEncoding,
        *,
        pose_dim: int,
        light_dim: int,
        hidden_dim: int,
        implementation: Literal["tcnn", "torch"],
    ):
        super().__init__(
            position_dim=position.out_dim,
            feature_dim=GEOMETRY_FEATURES,
            light_dim=light_dim,
            hidden_dim=hidden_dim,
            implementation=implementation,
        )
        self.position = position
        self.distance_encoding = FrequencyEncoding(
            in_dim=1,
            num_frequencies=DISTANCE_FREQUENCIES,
            min_freq_exp=-1.0,
            max_freq_exp=DISTANCE_FREQUENCIES - 2.0,
            include_input=True,
        )
        self.geometry_network = MLP(
            in_dim=position.out_dim + self.distance_encoding.get_out_dim() + pose_dim,
            num_layers=3,
            layer_width=hidden_dim,
            out_dim=1 + GEOMETRY_FEATURES,
            activation=nn.ReLU(),
            implementation=implementation,
        )

    def geometry(self, samples: SurfaceSamples, pose_code: Float[Tensor, "N P"]) -> Geometry:
        """Geometry at sample points.

        Args:
            samples: where they lie relative to the posed surface.
            pose_code: code of the pose that the samples' surface is in.
        """
        position = self.position(samples)
        distance = self.distance_encoding(samples.normalized_distance[:, None])
        found = self.geometry_network(torch.cat([position, distance, pose_code], dim=-1)).float()
        return Geometry(torch.tanh(found[:, 0]), position, found[:, 1:])

    def radiance(self, samples: SurfaceSamples, geometry: Geometry, directions: Float[Tensor, "N 3"]) -> Radiance:
        """Color of sample points.

        Args:
            samples: where they lie relative to the posed surface.
            geometry: what :meth:`geometry` said of them.
            directions: unit viewing directions, from the camera, world frame.
        """
        return self.color(geometry.position, geometry.features, samples.normal, samples.light, directions)
