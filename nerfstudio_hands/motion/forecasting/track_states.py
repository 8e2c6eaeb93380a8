"""Between pose tracks and the states of a forecaster of angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfstudio_hands.hand_model import HandModel, HandPose, mirror_hand, mirror_rotations
from nerfstudio_hands.hand_model.joint_limits import angles_to_rotations, joint_axes, joint_limits, rotations_to_angles
from nerfstudio_hands.motion.forecasting.representations import join_state, split_state
from nerfstudio_hands.motion.forecasting.windows import Recording
from nerfstudio_hands.motion.pose_track import PoseTrack
from nerfstudio_hands.transforms.rotations import rotation_matrix, rotation_vector

GAP = 2.5
"""Times the usual step from key to key, from which on a longer step is a gap."""


@dataclass(frozen=True)
class HandStates:
    """Turns poses of one hand into states of `HandAngles` and back; a left hand's are those of its mirror image.

    Attributes:
        side: `left` or `right`.
        right: The hand model, mirrored where the hand is a left one.
        axes: Its `joint_axes`.
        wrist: Its wrist at rest, metres.
    """

    side: str
    right: HandModel
    axes: Float[Tensor, "15 3 3"]
    wrist: Float[Tensor, "3"]

    @staticmethod
    def of(model: HandModel) -> HandStates:
        """For poses of a hand model."""
        right = mirror_hand(model) if model.side == "left" else model
        return HandStates(model.side, right, joint_axes(right), (right.joint_regressor @ right.template)[0])

    def states(self, pose: HandPose) -> Float[Tensor, "T 57"]:
        """States of poses [T, ...] of this hand alone."""
        orient, local, place = self._seen(pose.global_orient, pose.local_rotations, pose.translation)
        angles = rotations_to_angles(self.axes.to(local), local).flatten(-2)
        return join_state(angles, rotation_matrix(orient), place + self.wrist.to(place))

    def pose(self, states: Float[Tensor, "T 57"]) -> HandPose:
        """Poses [T, ...] of states; inverse of `states`."""
        angles, orientation, place = split_state(states)
        local = angles_to_rotations(self.axes.to(angles), angles.unflatten(-1, (15, 3)))
        found = self._seen(rotation_vector(orientation), local, place - self.wrist.to(place))
        return HandPose(*found, torch.ones(len(states), dtype=torch.bool, device=states.device))

    def within_limits(self, states: Float[Tensor, "N 57"], seen: Float[Tensor, "T 57"]) -> Float[Tensor, "N 57"]:
        """States whose angles are cut off at the joint limits, or at what has been seen where that lies beyond."""
        low, high = joint_limits(self.right).to(states).flatten(0, 1).unbind(-1)
        angles, orientation, place = split_state(states)
        known = split_state(seen)[0]
        low, high = torch.minimum(low, known.amin(dim=0)), torch.maximum(high, known.amax(dim=0))
        return join_state(angles.clamp(low, high), orientation, place)

    def _seen(
        self, orient: Float[Tensor, "T 3"], local: Float[Tensor, "T 15 3"], place: Float[Tensor, "T 3"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As they are, or as in a mirror across x = 0, which is its own inverse."""
        if self.side == "right":
            return orient, local, place
        return mirror_rotations(orient), mirror_rotations(local), place * place.new_tensor([-1.0, 1.0, 1.0])


def usual_interval(track: PoseTrack) -> float:
    """The median step from key to key in seconds; 0 for a single key."""
    return float(track.times.diff().median()) if track.num_keys > 1 else 0.0


def unbroken(track: PoseTrack, hand: int) -> list[Int[Tensor, " K"]]:
    """Keys between which a hand is always there and no step is a gap, run by run, in order of time."""
    keys = track.pose.valid[:, hand].nonzero()[:, 0]
    if not len(keys):
        return []
    breaks = (keys.diff() > 1) | (track.times[keys].diff() > GAP * usual_interval(track))
    return list(torch.tensor_split(keys, (breaks.nonzero()[:, 0] + 1).tolist()))


def one_hand(track: PoseTrack, hand: int, keys: Int[Tensor, " K"] | None = None) -> PoseTrack:
    """One hand of a track, at some keys; times stay as they are."""
    keys = torch.arange(track.num_keys) if keys is None else keys
    return replace(
        track, sides=(track.sides[hand],), pose=track.pose[keys][:, hand : hand + 1], times=track.times[keys]
    )


def sampled_states(
    track: PoseTrack, hand: int, states: HandStates, times: Float[Tensor, " S"], keys: Int[Tensor, " K"]
) -> Float[Tensor, "S 57"]:
    """States of a hand at times between some unbroken keys."""
    return states.states(one_hand(track, hand, keys).at(times)[:, 0])


def recordings_of(track: PoseTrack, hands: Sequence[HandModel], fps: float) -> list[Recording]:
    """Unbroken runs of each hand of a track, at another rate.

    Args:
        track: Poses.
        hands: Hand models that the poses refer to, of the track's sides.
        fps: Frames a second that are wanted.
    """
    models = {model.side: HandStates.of(model) for model in hands}
    found = []
    for hand, side in enumerate(track.sides):
        for number, keys in enumerate(unbroken(track, hand)):
            begin, end = (float(track.times[key]) for key in (keys[0], keys[-1]))
            times = begin + torch.arange(int((end - begin) * fps + 1e-3) + 1) / fps
            states = sampled_states(track, hand, models[side], times, keys)
            found.append(Recording(f"{track.name}, {side} hand, run {number}", states, fps))
    return found
