"""Signed distance and color of a hand, in its rest pose or in the frames of its posed bones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Type

import torch
from jaxtyping import Bool, Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor

from nerfstudio_hands.fields.hand_field import GEOMETRY_FEATURES, Geometry, Radiance, RadianceHead
from nerfstudio_hands.fields.kinematic_features import HAND_FEATURES, hand_features
from nerfstudio_hands.fields.position_encoding import PositionEncoding
from nerfstudio_hands.fields.signed_distance import SignedDistanceNetwork
from nerfstudio_hands.fields.surface_samples import ObjectSamples, SurfaceSamples
from nerfstudio_hands.program.option_range import bounded
from nerfstudio_hands.transforms.spherical_harmonics import irradiance

UNIT = 0.1
"""Meters; half a hand. What the network sees and says is of the order of one."""


@dataclass
class SDFSamples(SurfaceSamples):
    """Where sample points lie relative to a hand, as a network of signed distance is asked with them.

    Attributes:
        position: where the points are in the rest pose, or seen from the posed wrist, meters [N, 3].
        rotation: of directions at `position` into the world [N, 3, 3].
        outward: gradient of the fitted surface's distance, a unit vector of the world [N, 3].
        of_hand: whether the nearest skin belongs to what is shown, and not to the forearm [N].
        in_shell: whether the field has a say there [N].
        bones: frames of the 16 bones, seen from where `position` is measured; None in the rest pose [N, 16, 4, 4].
        held: where the same points are near what the hand holds; None where it holds nothing [N].
    """

    position: Float[Tensor, "N 3"] | None = None
    rotation: Float[Tensor, "N 3 3"] | None = None
    outward: Float[Tensor, "N 3"] | None = None
    of_hand: Bool[Tensor, "N"] | None = None
    in_shell: Bool[Tensor, "N"] | None = None
    bones: Float[Tensor, "N 16 4 4"] | None = None
    held: ObjectSamples | None = None


@dataclass
class GeometryWithGradient(Geometry):
    """Geometry with the gradient of the signed distance, world frame [N, 3], of length one where it is a distance."""

    gradient: Float[Tensor, "N 3"]


@dataclass
class HandSDFFieldConfig(InstantiateConfig):
    """The network of signed distance."""

    _target: Type = field(default_factory=lambda: HandSDFField)
    """target class to instantiate"""
    start: Literal["template", "geometric"] = "template"
    """What is learned: a correction, within the shell, of the distance from the fitted surface; or the distance itself,
    from geometric initialization."""
    hidden_dim: bounded(int, 1, 4096) = 96
    """Width of the network."""
    num_layers: bounded(int, 1, 64) = 3
    """Hidden layers."""
    frequencies: bounded(int, 0, 16) = 7
    """Octaves by which places are encoded, the longest a decimeter."""


class HandSDFField(RadianceHead):
    """Signed distance by a network, and color from the normal, the view direction, the pose and the skin's place.

    Args:
        config: the network of signed distance.
        position: features of the place on the skin.
        kinematic: whether the network sees points from the posed bones; otherwise their place in the rest pose.
        shell: half width of the shell round the fitted surface, meters.
        pose_dim: numbers of the pose code.
        light_dim: numbers of the light transfer; 0 for none.
        hidden_dim: width of the networks of color.
        implementation: "tcnn" or "torch", for the networks of color.
    """

    def __init__(
        self,
        config: HandSDFFieldConfig,
        position: PositionEncoding,
        *,
        kinematic: bool,
        shell: float,
        pose_dim: int,
        light_dim: int,
        hidden_dim: int,
        implementation: Literal["tcnn", "torch"],
    ):
        super().__init__(
            position_dim=position.out_dim + 3 + pose_dim,
            feature_dim=GEOMETRY_FEATURES,
            light_dim=light_dim,
            hidden_dim=hidden_dim,
            implementation=implementation,
        )
        self.position = position
        self.shell = shell
        self.corrects = config.start == "template"
        self.network = SignedDistanceNetwork(
            feature_dim=(HAND_FEATURES - 3 if kinematic else 0) + pose_dim,
            out_features=GEOMETRY_FEATURES,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
            frequencies=config.frequencies,
            start="zero" if self.corrects else "sphere",
        )

    def correction(
        self, samples: SDFSamples, pose_code: Float[Tensor, "N P"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "N G"]]:
        """How far below the fitted surface the learned one lies, in half widths of the shell, and learned features."""
        known = [pose_code]
        if samples.bones is not None:
            seen = hand_features(samples.position[:, None], samples.bones)[:, 0, 3:]  # pyright: ignore[reportOptionalSubscript]
            known.append(seen / UNIT)
        found, features = self.network(samples.position / UNIT, torch.cat(known, dim=-1))
        if self.corrects:
            return torch.tanh(found), features
        return found * (UNIT / self.shell) - samples.normalized_distance, features

    def with_gradient(self, samples: SDFSamples, pose_code: Float[Tensor, "N P"]) -> GeometryWithGradient:
        """Geometry with the gradient of the distance; in training it can be differentiated once more.

        Args:
            samples: where they lie.
            pose_code: code of the pose that the samples' surface is in.
        """
        with torch.enable_grad():
            position = (
                samples.position if samples.position.requires_grad else samples.position.detach().requires_grad_()
            )
            shift, features = self.correction(replace(samples, position=position), pose_code)
            (change,) = torch.autograd.grad(shift.sum(), position, create_graph=self.training)  # pyright: ignore[reportArgumentType, reportCallIssue]
        if not self.training:
            shift, features = shift.detach(), features.detach()
        # What the network says changes with the place; the fitted surface's own distance changes along `outward`.
        # Without the look for what has no inverse, for which a GPU has to be waited for.
        gradient = torch.linalg.solve_ex(samples.rotation.mT, change * self.shell).result
        if self.corrects:
            gradient = gradient + samples.outward
        position = torch.cat([self.position(samples), pose_code], dim=-1)
        return GeometryWithGradient(shift, position, features, gradient)

    def radiance(self, samples: SurfaceSamples, geometry: Geometry, directions: Float[Tensor, "N 3"]) -> Radiance:
        """Color of sample points.

        Args:
            samples: where they lie; with the normals of the learned surface, and as light transfer that which the
                hand itself blocks.
            geometry: what was said of their geometry.
            directions: unit viewing directions, from the camera, world frame.
        """
        looks = torch.cat([geometry.position, samples.normal], dim=-1)
        light = samples.light
        if light.shape[1]:
            light = (
                irradiance(torch.eye(light.shape[1], dtype=light.dtype, device=light.device), samples.normal) - light
            )
        return self.color(looks, geometry.features, samples.normal, light, directions)
