"""From a picture and the skeleton that is seen in it to the signed distances of hand and object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nerfstudio_hands.estimators.backbone import DEFAULT, Backbone
from nerfstudio_hands.estimators.hand_object.clip_transformer import ClipTransformer
from nerfstudio_hands.estimators.hand_object.mean_hand import MeanHand
from nerfstudio_hands.estimators.hand_object.volume import rays_of, seen_at, soft_argmax_volume
from nerfstudio_hands.estimators.neck import WIDTH, Neck
from nerfstudio_hands.fields.kinematic_features import hand_features, object_features
from nerfstudio_hands.fields.signed_distance import SignedDistanceNetwork

UNIT = 0.1
"""Meters; half a hand. What heads see and say is of the order of one."""

NEAR = 0.02
"""Meters from a bone within which places about it are told apart best, about a finger's width."""

HAND_FRAMES = {
    3: (),
    6: (0,),
    21: (0, 1, 4, 7, 10, 13),
    36: (0, 1, 2, 4, 5, 7, 8, 10, 11, 13, 14),
    51: tuple(range(16)),
}
"""Bones, in MANO order, in whose frames the hand's head sees a point, by the count of its features: none, the wrist,
and the first one, two or three bones of the fingers."""

OBJECT_FRAMES = {3: (False, False, False), 6: (True, False, False), 9: (True, True, False), 69: (True, False, True)}
OBJECT_FRAMES |= {72: (True, True, True)}
"""Whether the object's head sees a point from the object's center, from the wrist and from the joints, likewise."""


@dataclass(frozen=True)
class DistanceNetworkOptions:
    """Which network it is."""

    backbone: str = DEFAULT
    """timm's name of the encoder."""
    frozen_stages: int = 0
    """Stem and so many groups of its blocks keep their weights."""
    cells: int = 32
    """Of the volume in which the object's center is looked for."""
    image: Literal["aligned", "global", "none"] = "aligned"
    """What heads know of the picture: its features where a point is seen, those of the whole, or nothing."""
    center: Literal["shared", "own"] = "shared"
    """Whether the encoder that distances are read off looks for the object's center, too, or another one does."""
    hand_features: int = 51
    """Of the skeleton, see `HAND_FRAMES`."""
    object_features: int = 72
    """Of the skeleton, see `OBJECT_FRAMES`."""
    image_features: int = 64
    """Of the picture, per point."""
    hidden_dim: int = 256
    """Width of the heads."""
    num_layers: int = 4
    """Hidden layers of the heads."""
    dropout: float = 0.0
    """Share of the hidden numbers of a head that a step of the training leaves out."""
    clip: Literal["none", "published", "ordered"] = "none"
    """Whether pictures of a clip are looked at together, and whether their order counts."""
    clip_depth: int = 2
    """Layers of each of the two transformers of clips."""


@dataclass
class SeenScene:
    """What the network sees in B pictures before it is asked for distances.

    Attributes:
        maps: Features where things are seen; None where heads know nothing of it.
        whole: Features of the whole pictures, likewise.
        center: Place of the object's center, -1 to 1 across and down, and its depth behind the wrist in units of the
            volume's half depth.
    """

    maps: Float[Tensor, "B C h w"] | None
    whole: Float[Tensor, "B I"] | None
    center: Float[Tensor, "B 3"] | None


@dataclass
class Skeleton:
    """What heads know of B hands and what they hold, axes of the views, meters; without gradient.

    Attributes:
        joints: In the order of `JOINT_NAMES`.
        frames: Of the bones, MANO order.
        center: Of the object.
        focal: Of the views, sides of the crop.
    """

    joints: Float[Tensor, "B 21 3"]
    frames: Float[Tensor, "B 16 4 4"]
    center: Float[Tensor, "B 3"]
    focal: Float[Tensor, " B"]

    def relative(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points, frames of bones, the object's frame, whose axes are those of the view, and joints, about the
        wrists."""
        wrist = self.joints[:, :1]
        frames = self.frames.clone()
        frames[..., :3, 3] -= wrist
        held = torch.eye(4, device=points.device).repeat(len(points), 1, 1, 1)
        held[:, 0, :3, 3] = self.center - wrist[:, 0]
        return points - wrist, frames, held, self.joints - wrist


class DistanceNetwork(nn.Module):
    """gSDF's network of signed distances (Chen et al., CVPR 2023, section 3).

    Unlike there features come from a pyramid and not from transposed convolutions, heads see the place about the wrist
    in waves of several lengths, and places in the frames of fingers' bones are drawn together far from these: a finger
    is a tenth as thick as a hand is long. Both heads may be told the distance from the mean hand on the seen bones;
    that of the hand then says what is to be added to it.

    Args:
        options: Which network it is.
        mean_hand: Whose distances heads are told.
    """

    def __init__(
        self, options: DistanceNetworkOptions = DistanceNetworkOptions(), mean_hand: MeanHand | None = None
    ) -> None:
        super().__init__()
        self.options = options
        self.mean_hand = mean_hand
        sees = options.image != "none"
        self.encoder = Backbone(options.backbone, options.frozen_stages) if sees else None
        own = sees and options.center == "own"
        self.center_encoder = Backbone(options.backbone, options.frozen_stages) if own else None
        if self.encoder is not None:
            channels = self.encoder.channels
            self.neck = Neck(channels[1:], WIDTH)
            self.center_neck = Neck(channels[1:], WIDTH) if own else None
            self.center = nn.Conv2d(WIDTH, options.cells, 1)
            count = WIDTH + 4 if options.image == "aligned" else channels[-1]
            self.image = nn.Linear(count, options.image_features)
            self.clip = (
                None
                if options.clip == "none"
                else ClipTransformer(WIDTH, options.clip_depth, ordered=options.clip == "ordered")
            )
        # Heads that know nothing of the picture see zeros, so that others can begin with what they have learned.
        self.hand = self._head(options.hand_features - 3 + options.image_features)
        self.object = self._head(options.object_features - 3 + options.image_features)

    def _head(self, features: int) -> SignedDistanceNetwork:
        return SignedDistanceNetwork(
            feature_dim=features + (self.mean_hand is not None),
            out_features=0,
            hidden_dim=self.options.hidden_dim,
            num_layers=self.options.num_layers,
            frequencies=4,
            start="zero",
            smooth=False,
            dropout=self.options.dropout,
        )

    def forward(self, pictures: Float[Tensor, "B 3 S S"], clip: int = 1) -> SeenScene:
        """Looks at crops of right hands, or mirrored ones of left hands, in [0, 1].

        Args:
            pictures: Those of a clip one after the other.
            clip: Pictures of a clip.
        """
        if self.encoder is None:
            return SeenScene(None, None, None)
        features = self.encoder(pictures)[1:]
        maps = self.neck(features)
        others = maps
        if self.center_encoder is not None and self.center_neck is not None:
            others = self.center_neck(self.center_encoder(pictures)[1:])
        center = soft_argmax_volume(self.center(others), self.options.cells).places[:, 0]
        if self.options.image == "global":
            return SeenScene(None, self.image(features[-1].mean((2, 3))), center)
        return SeenScene(maps if self.clip is None else self.clip(maps, clip), None, center)

    def distances(self, seen: SeenScene, skeleton: Skeleton, points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N 2"]:
        """Signed distances of points from hand and object, meters.

        Args:
            seen: What the pictures say.
            skeleton: Of the hands.
            points: Axes of the views, meters.
        """
        known = self._known(seen, skeleton, points)
        return torch.stack([self._hand(skeleton, points, known), self._object(skeleton, points, known)], -1)

    def hand_distances(
        self, seen: SeenScene, skeleton: Skeleton, points: Float[Tensor, "B N 3"]
    ) -> Float[Tensor, "B N"]:
        """Those from the hand alone; arguments as for `distances`."""
        return self._hand(skeleton, points, self._known(seen, skeleton, points))

    def object_distances(
        self, seen: SeenScene, skeleton: Skeleton, points: Float[Tensor, "B N 3"]
    ) -> Float[Tensor, "B N"]:
        """Those from the object alone; arguments as for `distances`."""
        return self._object(skeleton, points, self._known(seen, skeleton, points))

    def _hand(
        self, skeleton: Skeleton, points: Float[Tensor, "B N 3"], known: Float[Tensor, "B N K"]
    ) -> Float[Tensor, "B N"]:
        relative, frames, _, _ = skeleton.relative(points)
        bones = frames[:, list(HAND_FRAMES[self.options.hand_features])]
        features = hand_features(relative, bones)
        features = torch.cat([features[..., :6], _drawn_together(features[..., 6:])], -1)
        found = self._of(self.hand, features, known)
        return found if self.mean_hand is None else found + UNIT * known[..., -1]

    def _object(
        self, skeleton: Skeleton, points: Float[Tensor, "B N 3"], known: Float[Tensor, "B N K"]
    ) -> Float[Tensor, "B N"]:
        relative, frames, held, joints = skeleton.relative(points)
        has_center, has_wrist, has_joints = OBJECT_FRAMES[self.options.object_features]
        chosen = torch.cat([held[:, : int(has_center)], frames[:, : int(has_wrist)]], 1)
        features = object_features(relative, chosen, joints[:, : 21 * has_joints])
        return self._of(self.object, features, known)

    def _of(self, head: SignedDistanceNetwork, features: Tensor, known: Tensor) -> Float[Tensor, "B N"]:
        # Waves are those of the place seen from the wrist, or from the object's center, where that is known.
        order = torch.cat([features[..., 3:6], features[..., :3], features[..., 6:]], -1)
        values = torch.cat([order / UNIT, known], -1).flatten(0, 1)
        return UNIT * head(values[:, :3], values[:, 3:])[0].view(features.shape[:2])

    def _known(self, seen: SeenScene, skeleton: Skeleton, points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N K"]:
        """What both heads know of points beside the skeleton."""
        looks = self._looks(seen, skeleton, points)
        if self.mean_hand is None:
            return looks
        distances = self.mean_hand.distances(skeleton.joints, skeleton.frames, points)
        return torch.cat([looks, distances[..., None] / UNIT], -1)

    def _looks(self, seen: SeenScene, skeleton: Skeleton, points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N I"]:
        if seen.whole is not None:
            return seen.whole[:, None].expand(-1, points.shape[1], -1)
        if seen.maps is None:
            return points.new_zeros(*points.shape[:2], self.options.image_features)
        places = seen_at(points, skeleton.focal)
        found = functional.grid_sample(seen.maps, places[:, :, None], align_corners=False)[..., 0].mT
        direction = functional.normalize(points, dim=-1)
        return self.image(torch.cat([found, points[..., 2:], direction], -1))


def _drawn_together(offsets: Float[Tensor, "B N F"]) -> Float[Tensor, "B N F"]:
    """Offsets from bones, three numbers each; the farther, the less their length counts, and none is over `UNIT`."""
    apart = offsets.unflatten(-1, (offsets.shape[-1] // 3, 3))
    return (UNIT * apart / (apart.square().sum(-1, keepdim=True) + NEAR**2).sqrt()).flatten(-2)


def center_of(
    seen: SeenScene, reach: Tensor, focal: Float[Tensor, " B"], wrist: Float[Tensor, "B 3"]
) -> Float[Tensor, "B 3"] | None:
    """The object's center in the axes of the views, meters; None where the network knows no pictures.

    Args:
        seen: What it sees.
        reach: Half the depth of its volume, meters.
        focal: Of the views, sides of the crop.
        wrist: Of the hands.
    """
    if seen.center is None:
        return None
    ray = rays_of(seen.center[:, None, :2], focal)[:, 0]
    return ray * (wrist[:, 2] + reach * seen.center[:, 2])[:, None]
