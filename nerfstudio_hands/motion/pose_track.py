"""A pose track: poses of one or two hands at some times, and at all times between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandPose
from nerfstudio_hands.transforms.rotations import slerp

SNAP = 1e-4
"""Part of the way between two keys below which a time is the key's own: times are 32-bit numbers."""

FAR = 0.5
"""Metres from where a capture has its hands to where its cameras hardly look any more."""


@dataclass
class PoseTrack:
    """Poses of hands over time.

    Attributes:
        sides: The hands, one or both, in the order left, right; H of them.
        pose: Poses [T, H, ...] in the world of the capture that they come from, metres and radians. What a hand that is
            not valid holds has no meaning, but is finite.
        times: Seconds of each key, 0 at the first, increasing.
        name: What a person calls it.
        placed: Whether wrists have a place and an orientation. Where a file has none, only fingers move.
    """

    sides: tuple[str, ...]
    pose: HandPose
    times: Float[Tensor, " T"]
    name: str = ""
    placed: bool = True

    @staticmethod
    def of_frames(pose: HandPose, sides: Sequence[str], *, fps: float, name: str = "") -> PoseTrack:
        """The frames of a capture as a track.

        Args:
            pose: Poses [T, H, ...] of the frames, in order of time; absent hands may hold anything, NaN too.
            sides: The H hands.
            fps: Frames a second.
            name: What a person calls the track.
        """
        times = torch.arange(len(pose.valid), dtype=torch.float32, device=pose.valid.device) / fps
        return PoseTrack(tuple(sides), _without_absent(pose), times, name)

    @property
    def num_keys(self) -> int:
        """T."""
        return len(self.times)

    @property
    def duration(self) -> float:
        """Seconds from the first key to the last."""
        return float(self.times[-1])

    def at(self, times: Float[Tensor, " S"]) -> HandPose:
        """Poses [S, H, ...] at times in seconds; before the first key and after the last one these stand.

        Joints turn at constant velocity from key to key (slerp), wrists move on straight lines. A hand that only one of
        two neighboring keys has is shown in that key's pose all the way up to the other.
        """
        times = times.to(self.times)
        last = self.num_keys - 1
        after = torch.searchsorted(self.times, times, right=True).clamp(min(1, last), last)
        before = (after - 1).clamp(min=0)
        span = (self.times[after] - self.times[before]).clamp(min=1e-9)
        fraction = ((times - self.times[before]) / span).clamp(0, 1)
        return interpolate_poses(self.pose[before], self.pose[after], fraction)

    def for_hands(self, sides: Sequence[str], still: HandPose) -> PoseTrack:
        """The track for an avatar's hands: a hand that the track lacks stands still, one that the avatar lacks is left
        out. Wrists of a track without places stay where the hands that do not move have them.

        Args:
            sides: The avatar's hands, in the order left, right; H of them.
            still: Poses [H, ...] of hands that do not move.

        Raises:
            HandsError: The track has none of the hands.
        """
        if not set(sides) & set(self.sides):
            raise HandsError(
                f"Pose track {self.name!r}: expected poses of the {' or '.join(sides)} hand, which the avatar shows, "
                f"found only the {' and '.join(self.sides)} hand: give another track."
            )
        tables = {}
        for field in fields(HandPose):
            own = getattr(self.pose, field.name)
            other = getattr(still, field.name).to(own)
            columns = [
                own[:, self.sides.index(side)] if side in self.sides else other[hand].expand_as(own[:, 0])
                for hand, side in enumerate(sides)
            ]
            tables[field.name] = torch.stack(columns, dim=1)
        track = replace(self, sides=tuple(sides), pose=HandPose(**tables))
        return track if self.placed else track.anchored(still)

    def anchored(self, reference: HandPose) -> PoseTrack:
        """The track in place: only fingers move, wrists stay where a reference has them.

        A track's wrists are placed in the world of its own capture; in the world of another they may be anywhere.

        Args:
            reference: Poses [H, ...] of the same hands, whose orientation and translation are taken.
        """
        own = self.pose
        pose = HandPose(
            global_orient=reference.global_orient.to(own.global_orient).expand_as(own.global_orient),
            local_rotations=own.local_rotations,
            translation=reference.translation.to(own.translation).expand_as(own.translation),
            valid=own.valid & reference.valid.to(own.valid),
        )
        return replace(self, pose=pose, placed=True)

    def is_far_from(self, reference: HandPose) -> bool:
        """Whether no hand of the track is ever within `FAR` of where a reference [H, ...] has it."""
        apart = (self.pose.translation - reference.translation.to(self.pose.translation)).norm(dim=-1)
        both = self.pose.valid & reference.valid.to(self.pose.valid)
        return not bool((both & (apart < FAR)).any())

    def to(self, device: torch.device | str) -> PoseTrack:
        """Copy on another device."""
        return replace(self, pose=self.pose.to(device), times=self.times.to(device))


def interpolate_poses(first: HandPose, second: HandPose, fraction: Float[Tensor, " S"]) -> HandPose:
    """Poses between pairs of poses, by the rules of :meth:`PoseTrack.at`.

    Args:
        first: Poses [S, H, ...] at fraction 0; absent hands may hold anything, NaN too.
        second: Poses [S, H, ...] at fraction 1.
        fraction: Place between the two, in [0, 1].
    """
    first, second = _without_absent(first), _without_absent(second)
    place = torch.where(fraction < SNAP, torch.zeros_like(fraction), fraction)
    place = torch.where(place > 1 - SNAP, torch.ones_like(place), place)[:, None].expand(first.valid.shape)
    # A key that has no weight has no say in whether the hand is there.
    in_first, in_second = first.valid & (place < 1), second.valid & (place > 0)
    place = torch.where(in_first, torch.where(in_second, place, torch.zeros_like(place)), torch.ones_like(place))
    return HandPose(
        global_orient=slerp(first.global_orient, second.global_orient, place),
        local_rotations=slerp(first.local_rotations, second.local_rotations, place[..., None].expand(-1, -1, 15)),
        translation=torch.lerp(first.translation, second.translation, place[..., None].to(first.translation)),
        valid=in_first | in_second,
    )


def join_poses(poses: Sequence[HandPose]) -> HandPose:
    """Poses [T, H, ...] one after the other."""
    return HandPose(*(torch.cat([getattr(pose, field.name) for pose in poses]) for field in fields(HandPose)))


def first_seen(pose: HandPose) -> HandPose:
    """Of each hand of [T, H, ...] its first valid pose, [H, ...]; a hand that never is valid has its first one."""
    first = pose.valid.int().argmax(dim=0)
    return pose[first, torch.arange(len(first), device=first.device)]


def _without_absent(pose: HandPose) -> HandPose:
    """The poses with zeros for hands that are not valid."""
    absent = ~pose.valid[..., None]
    return HandPose(
        global_orient=pose.global_orient.masked_fill(absent, 0.0),
        local_rotations=pose.local_rotations.masked_fill(absent[..., None], 0.0),
        translation=pose.translation.masked_fill(absent, 0.0),
        valid=pose.valid,
    )
