"""The networks of hand and object as one: from a crop to a skeleton, an object's center and signed distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfstudio_hands.estimators.hand_object.distance_network import (
    DistanceNetwork,
    DistanceNetworkOptions,
    SeenScene,
    Skeleton,
    center_of,
)
from nerfstudio_hands.estimators.hand_object.mean_hand import MeanHand
from nerfstudio_hands.estimators.hand_object.pose_network import REACH, ScenePlaces, ScenePoseNetwork, placed
from nerfstudio_hands.hand_model.joint_frames import joint_frames

Skeletons = Literal["network", "truth", "none"]
"""Where bones come from: the pose network, labels, or nowhere (only the wrist's place)."""


@dataclass
class PredictedScene:
    """What the networks say of B hands and what they hold, axes of the views, meters.

    Attributes:
        skeleton: What distances are measured with.
        joints: As the pose network sees them (with `skeleton="truth"`, the true ones).
        center: Of the object, as it is seen; with gradient.
        seen: What the picture says.
    """

    skeleton: Skeleton
    joints: Float[Tensor, "B 21 3"]
    center: Float[Tensor, "B 3"]
    seen: SeenScene

    def at(self, index: int) -> PredictedScene:
        """One of the scenes."""
        part = slice(index, index + 1)
        bones, seen = self.skeleton, self.seen
        return PredictedScene(
            Skeleton(bones.joints[part], bones.frames[part], bones.center[part], bones.focal[part]),
            self.joints[part],
            self.center[part],
            SeenScene(*(None if value is None else value[part] for value in (seen.maps, seen.whole, seen.center))),
        )


class SceneNetwork(nn.Module):
    """A pose network that does not learn and a network of distances that does.

    Args:
        options: Of the network of distances.
        rest: Joints of the mean hand at rest, meters.
        skeleton: Where bones come from.
        pose_backbone: Encoder of the pose network.
        cells: Of its volumes.
        mean_hand: Whose distances heads are told.
    """

    rest: Tensor

    def __init__(
        self,
        options: DistanceNetworkOptions,
        rest: Float[Tensor, "21 3"],
        *,
        skeleton: Skeletons = "network",
        pose_backbone: str = DistanceNetworkOptions.backbone,
        cells: int = 32,
        mean_hand: MeanHand | None = None,
    ) -> None:
        super().__init__()
        self.skeleton: Skeletons = skeleton
        self.register_buffer("rest", rest.clone(), persistent=False)
        self.pose = ScenePoseNetwork(rest, backbone=pose_backbone, cells=cells) if skeleton == "network" else None
        self.distance = DistanceNetwork(options, mean_hand)
        if self.pose is not None:
            self.pose.requires_grad_(False)

    def train(self, mode: bool = True) -> SceneNetwork:
        super().train(mode)
        if self.pose is not None:
            # It was trained before, also its statistics.
            self.pose.eval()
        return self

    def forward(
        self,
        pictures: Float[Tensor, "B 3 S S"],
        focal: Float[Tensor, " B"],
        *,
        wrist: Float[Tensor, "B 3"] | None = None,
        joints: Float[Tensor, "B 21 3"] | None = None,
        center: Float[Tensor, "B 3"] | None = None,
        clip: int = 1,
    ) -> PredictedScene:
        """Looks at crops of right hands, or mirrored ones of left hands.

        Args:
            pictures: In [0, 1].
            focal: Of the views, sides of the crop.
            wrist: True wrists, of which the depth is believed; without, the palm's size says it.
            joints: True joints, for networks that know bones from labels.
            center: True centers, for networks that know no pictures at all.
            clip: Pictures of a clip.
        """
        joints, seen_center, reach = self._joints(pictures, focal, wrist, joints)
        seen = self.distance(pictures, clip)
        found = center_of(seen, reach, focal, joints[:, 0])
        if found is None:
            found = seen_center if center is None or self.pose is not None else center
        frames = _at_wrists(joints) if self.skeleton == "none" else joint_frames(joints, self.rest)[0]
        # What an object's place is off by is not learned from distances; where nothing is held there is none.
        held = torch.where(found.isfinite(), found, joints[:, 9]).detach()
        return PredictedScene(Skeleton(joints, frames, held, focal), joints, found, seen)

    def _joints(
        self, pictures: Tensor, focal: Tensor, wrist: Tensor | None, joints: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Joints, the object's center as the pose network sees it, and half the depth of volumes."""
        if self.pose is None:
            if self.skeleton == "none":
                assert wrist is not None, "nothing but the wrist's place is known"
                joints = wrist[:, None].expand(-1, 21, -1)
            assert joints is not None, "bones come from labels"
            return joints, joints[:, 9], torch.tensor(REACH, device=joints.device)
        with torch.no_grad():
            places: ScenePlaces = self.pose(pictures)
            wrist = self.pose.wrist(places, focal) if wrist is None else wrist
            return *placed(places, focal, wrist), self.pose.reach


def _at_wrists(joints: Float[Tensor, "B 21 3"]) -> Float[Tensor, "B 16 4 4"]:
    """Frames that say no more than where wrists are."""
    frames = torch.eye(4, device=joints.device).repeat(len(joints), 16, 1, 1)
    frames[..., :3, 3] = joints[:, :1]
    return frames
