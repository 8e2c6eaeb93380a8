"""From a crop to the joints of a hand and the center of what it holds, by heat maps of three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.estimators.backbone import DEFAULT, Backbone
from nerfstudio_hands.estimators.hand_object.volume import (
    VolumePlaces,
    depth_of_known_lengths,
    rays_of,
    soft_argmax_volume,
)
from nerfstudio_hands.estimators.monocular.network import MonocularNetwork
from nerfstudio_hands.estimators.neck import WIDTH, Neck

REACH = 0.25
"""Half the depth of the volumes, meters: as far before and behind the wrist joints and objects are looked for."""

POINTS = 22
"""21 joints, and the center of the object."""

RIGID = tuple(combinations((0, 5, 9, 13, 17), 2))
"""Pairs of joints that no pose moves much against each other."""


@dataclass
class ScenePlaces:
    """Where the network sees the joints of B right hands, and the centers of what they hold.

    Attributes:
        places: In the crop, -1 to 1; the last is the object's center.
        depths: Behind the wrist, meters; that of the wrist is zero.
        volumes: What they were read off.
    """

    places: Float[Tensor, "B 22 2"]
    depths: Float[Tensor, "B 22"]
    volumes: VolumePlaces


class ScenePoseNetwork(nn.Module):
    """gSDF's pose network, with the object as one more point.

    A volume's depth is counted in meters from the wrist; how deep it is belongs to the weights.

    Args:
        rest: Joints of the mean hand at rest, whose palm says how far away a hand is; meters.
        backbone: Name of timm's model.
        frozen_stages: See `Backbone`.
        cells: Of a volume along its depth.
    """

    reach: Tensor
    rest: Tensor

    def __init__(
        self, rest: Float[Tensor, "21 3"], *, backbone: str = DEFAULT, frozen_stages: int = 0, cells: int = 32
    ) -> None:
        super().__init__()
        self.encoder = Backbone(backbone, frozen_stages)
        self.neck = Neck(self.encoder.channels[1:], WIDTH)
        self.volumes = nn.Conv2d(WIDTH, POINTS * cells, 1)
        self.cells = cells
        self.register_buffer("reach", torch.tensor(REACH))
        self.register_buffer("rest", rest.clone())

    @torch.no_grad()
    def begin_with(self, learned: MonocularNetwork) -> None:
        """Takes the encoder of another network, and looks for joints where its heat maps have them, in any depth."""
        self.encoder.load_state_dict(learned.encoder.state_dict())
        self.neck.load_state_dict(learned.neck.state_dict())
        for own, known in zip(self.volumes.parameters(), learned.maps.parameters(), strict=True):
            own[: len(known) * self.cells] = known.repeat_interleave(self.cells, 0)

    def forward(self, pictures: Float[Tensor, "B 3 S S"]) -> ScenePlaces:
        """Looks at crops of right hands, or mirrored ones of left hands, in [0, 1]."""
        found = soft_argmax_volume(self.volumes(self.neck(self.encoder(pictures)[1:])), self.cells)
        depths = found.places[..., 2] * self.reach
        return ScenePlaces(found.places[..., :2], depths - depths[:, :1], found)

    def wrist(self, seen: ScenePlaces, focal: Float[Tensor, " B"]) -> Float[Tensor, "B 3"]:
        """Where wrists are if palms are as large as that of the mean hand, axes of the views, meters.

        Args:
            seen: What the network says.
            focal: Of the views, sides of the crop.
        """
        pairs = torch.tensor(RIGID, device=focal.device)
        rays = rays_of(seen.places, focal)
        lengths = (self.rest[pairs[:, 0]] - self.rest[pairs[:, 1]]).norm(dim=-1)
        return rays[:, 0] * depth_of_known_lengths(rays[:, pairs], seen.depths[:, pairs], lengths)[:, None]


def placed(
    seen: ScenePlaces, focal: Float[Tensor, " B"], wrist: Float[Tensor, "B 3"]
) -> tuple[Float[Tensor, "B 21 3"], Float[Tensor, "B 3"]]:
    """Joints and the object's center in the axes of the views, meters, of hands whose wrists have a known depth."""
    points = rays_of(seen.places, focal) * (wrist[:, None, 2] + seen.depths)[..., None]
    return points[:, :21], points[:, 21]
