"""Signed distance and color of a rigid object, in its own frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.fields.hand_field import GEOMETRY_FEATURES, Radiance, RadianceHead
from nerfstudio_hands.fields.hand_sdf_field import HandSDFFieldConfig
from nerfstudio_hands.fields.kinematic_features import OBJECT_FEATURES
from nerfstudio_hands.fields.plane_encoding import PlaneEncoding
from nerfstudio_hands.fields.signed_distance import SignedDistanceNetwork
from nerfstudio_hands.fields.surface_samples import ObjectSamples

BEYOND = 1e-3
"""Meters by which everything outside of the sphere that bounds the object is at least away from it."""


class HeldObjectField(RadianceHead):
    """Signed distance by a network that starts as a sphere, and color from place, normal and view direction.

    Args:
        config: the network of signed distance; `start` has no meaning, as there is no template.
        radius: of the sphere round the origin of the object's frame that holds the object, meters.
        kinematic: whether the network is also told where points are seen from hand and world.
        resolutions: texels along a side of the feature planes of the color, a level each.
        channels: features a level.
        hidden_dim: width of the networks of color.
        implementation: "tcnn" or "torch", for the networks of color.
    """

    def __init__(
        self,
        config: HandSDFFieldConfig,
        *,
        radius: float,
        kinematic: bool,
        resolutions: tuple[int, ...],
        channels: int,
        hidden_dim: int,
        implementation: Literal["tcnn", "torch"],
    ):
        planes = PlaneEncoding(3, resolutions, channels)
        super().__init__(
            position_dim=planes.out_dim + 3,
            feature_dim=GEOMETRY_FEATURES,
            light_dim=0,
            hidden_dim=hidden_dim,
            implementation=implementation,
        )
        self.planes = planes
        self.radius = radius
        self.network = SignedDistanceNetwork(
            feature_dim=OBJECT_FEATURES - 3 if kinematic else 0,
            out_features=GEOMETRY_FEATURES,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
            frequencies=config.frequencies,
            start="sphere",
        )

    def sdf(self, samples: ObjectSamples) -> tuple[Float[Tensor, " N"], Float[Tensor, "N G"]]:
        """Signed distance in meters, and learned features. Beyond the sphere that bounds the object the distance is
        that of the sphere."""
        known = samples.position[:, :0] if samples.kinematic is None else samples.kinematic / self.radius
        found, features = self.network(samples.position / self.radius, known)
        away = samples.position.norm(dim=-1) - self.radius
        return torch.where(away < 0, found * self.radius, away + BEYOND), features

    def with_gradient(
        self, samples: ObjectSamples, *, create_graph: bool
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N G"]]:
        """Gradient of the signed distance, world frame, and learned features.

        Args:
            samples: where it is asked for.
            create_graph: whether the gradient can be differentiated once more.
        """
        with torch.enable_grad():
            position = (
                samples.position if samples.position.requires_grad else samples.position.detach().requires_grad_()
            )
            distance, features = self.sdf(replace(samples, position=position))
            (gradient,) = torch.autograd.grad(distance.sum(), position, create_graph=create_graph)
        gradient = (samples.rotation @ gradient[..., None])[..., 0]
        return gradient, features if create_graph else features.detach()

    def radiance(
        self,
        samples: ObjectSamples,
        features: Float[Tensor, "N G"],
        normal: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
    ) -> Radiance:
        """Color of sample points.

        Args:
            samples: where they are.
            features: learned features of the geometry.
            normal: unit normals of the learned surface, world frame.
            directions: unit viewing directions, from the camera, world frame.
        """
        position = self.planes(samples.position / (2 * self.radius) + 0.5)
        own_normal = (normal[:, None] @ samples.rotation)[:, 0]
        return self.color(torch.cat([position, own_normal], dim=-1), features, normal, position[:, :0], directions)
