"""Signed distance from hands and from what they hold, as one scene."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.viewer.viewer_elements import ViewerCheckbox
from torch import Tensor, nn

from nerfstudio_hands.dataparsers.avatar_data import AvatarData
from nerfstudio_hands.fields.canonical_warps import CanonicalHands, NearestSkinning
from nerfstudio_hands.fields.hand_field import Radiance
from nerfstudio_hands.fields.hand_sdf_field import HandSDFFieldConfig, SDFSamples
from nerfstudio_hands.fields.held_object_field import HeldObjectField
from nerfstudio_hands.fields.position_encoding import CanonicalEncoding
from nerfstudio_hands.model_components.posed_distance import HandDistance, Shading
from nerfstudio_hands.model_components.posed_fine_hands import PosedFineHands, subdivision_offset
from nerfstudio_hands.model_components.posed_hands import PosedHands, PosedSurfaces
from nerfstudio_hands.model_components.posed_object import PosedObject

HIDDEN_DISTANCE = 0.1
"""Meters; what a switch of the viewer hides is at least so far away."""

POINTS_AT_ONCE = 1 << 16
"""Points of the world whose distance is asked for at once."""

RADIANCE = tuple(entry.name for entry in fields(Radiance))


class SceneDistance(nn.Module):
    """Signed distance from the nearer of hands and what they hold: either hides the other.

    Args:
        hand: distance from the hands.
        held: what they hold; None for nothing.

    Attributes:
        switches: by which the viewer shows hands and object each alone, outside training.
    """

    def __init__(self, hand: HandDistance, held: PosedObject | None):
        super().__init__()
        self.hand, self.held = hand, held
        self.switches = (ViewerCheckbox("Show hand", True), ViewerCheckbox("Show object", True))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """What is learned, by the names of optimizers."""
        parts = [self.hand] if self.held is None else [self.hand, self.held]
        distance = [parameter for part in parts for parameter in part.field.network.parameters()]
        known = {id(parameter) for parameter in distance}
        colors = [value for part in parts for value in part.field.parameters() if id(value) not in known]
        groups = {"fields": colors, "distance": distance}
        return groups if self.held is None else {**groups, "object_poses": [self.held.deltas]}

    def forward(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]:
        """Signed distances in meters, and whether they are from what is shown; as :meth:`HandDistance.forward`."""
        distance, of_hand = self.hand(points, surface, posed)
        if self.held is None:
            return distance, of_hand
        distance, from_object = self._hidden(distance, self.held(points, surface, posed)[0])
        return torch.minimum(distance, from_object), of_hand | (from_object < distance)

    def locate(self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces) -> SDFSamples:
        """What the fields are asked with; arguments as for :meth:`forward`."""
        samples = self.hand.locate(points, surface, posed)
        if self.held is None:
            return samples
        held = self.held.locate(points, surface, posed)
        with torch.no_grad():
            distances = (self.hand.distance(samples, posed.code[surface]), self.held.field.sdf(held)[0])
            distance, from_object = self._hidden(*distances)
        return replace(samples, held=replace(held, nearer=from_object < distance))

    def _hidden(self, *distances: Float[Tensor, "N"]) -> list[Float[Tensor, "N"]]:
        """Distances of hand and object, far away where a switch hides one."""
        return [
            distance if self.training or switch.value else distance.abs() + HIDDEN_DISTANCE
            for distance, switch in zip(distances, self.switches, strict=True)
        ]

    def shade(self, samples: SDFSamples, directions: Float[Tensor, "N 3"], pose_code: Float[Tensor, "N P"]) -> Shading:
        """Colors of samples, each of whose surface it is; arguments as for :meth:`HandDistance.shade`."""
        if samples.held is None:
            return self.hand.shade(samples, directions, pose_code)
        on_hand, on_object = (torch.nonzero(part)[:, 0] for part in (~samples.held.nearer, samples.held.nearer))
        hand = self.hand.shade(samples[on_hand], directions[on_hand], pose_code[on_hand])
        gradient, normal, radiance = self.held.shade(samples.held[on_object], directions[on_object])
        order = torch.cat([on_hand, on_object]).argsort()
        both = [torch.cat([getattr(part, name) for part in (hand.radiance, radiance)])[order] for name in RADIANCE]
        return Shading(
            torch.cat([hand.normal, normal])[order],
            Radiance(*both),
            hand.shift,
            torch.cat([hand.gradient, gradient]),
        )

    def exact(
        self, points: Float[Tensor, "N 3"], surface: Int[Tensor, "N"], posed: PosedSurfaces
    ) -> Float[Tensor, " N"]:
        """Signed distances of points anywhere, the viewer's switches aside; as :meth:`HandDistance.exact`."""
        distance = self.hand.exact(points, surface, posed)
        return distance if self.held is None else torch.minimum(distance, self.held(points, surface, posed)[0])


def make_scene(
    avatar: AvatarData,
    hands: PosedFineHands,
    networks: HandSDFFieldConfig,
    *,
    kinematic: bool,
    shell: float,
    resolutions: tuple[int, ...],
    channels: int,
    hidden_dim: int,
    implementation: Literal["tcnn", "torch"],
) -> SceneDistance:
    """Hands and, where the capture has masks or poses of it, what they hold, each with a field.

    Args:
        avatar: the hands with flat faces, and what is known of an object.
        hands: the hands as they are posed.
        networks: the networks of signed distance.
        kinematic: whether these see points from the posed bones; otherwise in the rest pose.
        shell: half width of the shell round the fitted surface, meters.
        resolutions: texels along a side of the feature planes of the color, a level each.
        channels: features a level.
        hidden_dim: width of the networks of color.
        implementation: what these run on.
    """
    canonical = CanonicalHands(hands.surface, hands.shape, hands.displacement)
    heads = {"kinematic": kinematic, "hidden_dim": hidden_dim, "implementation": implementation}
    field = networks.setup(
        position=CanonicalEncoding(*canonical.box(), resolutions=resolutions, channels=channels),
        shell=shell,
        pose_dim=hands.code_dim,
        light_dim=hands.light_dim,
        **heads,
    )
    hand = HandDistance(
        field,
        NearestSkinning(canonical),
        hands.surface,
        shell=shell,
        subdivision_offset=subdivision_offset(avatar, hands),
        kinematic=kinematic,
    )
    if avatar.object_pose is None:
        return SceneDistance(hand, None)
    field = HeldObjectField(networks, radius=avatar.object_radius, resolutions=resolutions, channels=channels, **heads)  # pyright: ignore[reportArgumentType]
    return SceneDistance(hand, PosedObject(avatar, hands, field, kinematic=kinematic))


@dataclass(frozen=True)
class ShownDistance:
    """A scene in the pose that rays of no frame see: what nerfstudio's exporters take for a model's field.

    Attributes:
        hands: the posed hands.
        scene: distance from them, and from what they hold.
    """

    hands: PosedHands
    scene: SceneDistance

    @torch.no_grad()
    def distance(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Signed distance in meters of points of nerfstudio's world; the wrist is closed."""
        found = [points[:0, 0]]
        for part in points.split(POINTS_AT_ONCE):
            posed = self.hands.for_rays(RayBundle(origins=part, directions=part, pixel_area=part[:, :1]))
            found.append(self.scene.exact(part, posed.ray_surface, posed))
        return torch.cat(found)

    def forward_geonetwork(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 1"]:
        """The same under the name that `ns-export marching-cubes` calls."""
        return self.distance(points)[:, None]
