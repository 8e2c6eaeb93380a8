"""Tracks that go on where they stop, and gaps that are filled from both of their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.hand_model import HandModel, HandPose
from nerfstudio_hands.motion.forecasting.forecaster import Forecaster
from nerfstudio_hands.motion.forecasting.representations import join_state, split_state
from nerfstudio_hands.motion.forecasting.track_states import (
    HandStates,
    one_hand,
    sampled_states,
    unbroken,
)
from nerfstudio_hands.motion.pose_track import PoseTrack, join_poses
from nerfstudio_hands.transforms.rotations import rotation_matrix, rotation_vector, slerp

NEAR = 0.25
"""Part of a frame within which a new key would lie on one that is there."""


def continue_track(
    forecaster: Forecaster,
    track: PoseTrack,
    hands: Sequence[HandModel],
    frames: int,
    *,
    generator: torch.Generator | None = None,
) -> PoseTrack:
    """The track and what each of its hands does next, each hand by itself.

    Args:
        forecaster: Of angles.
        track: Poses; their hands have to be there at the end, for as long as the forecaster reads.
        hands: Hand models that the poses refer to, of the track's sides.
        frames: How many to add, at the forecaster's rate.
        generator: Draws one of several continuations from where the most probable one, which comes to rest, has been
            said; without, that one goes on.

    Raises:
        HandsError: The forecaster says no poses, or a hand is missing where it has to go on from.
    """
    config = _of_angles(forecaster)
    columns = []
    for hand, side in enumerate(track.sides):
        states = HandStates.of(next(model for model in hands if model.side == side))
        given = _window(track, hand, states, forecaster)
        columns.append(states.pose(continued_states(forecaster, states, given, frames, generator)))
    added = HandPose(*(torch.stack([getattr(pose, field.name) for pose in columns], 1) for field in fields(HandPose)))
    times = track.times[-1] + torch.arange(1, frames + 1) / config.fps
    return replace(track, pose=join_poses([track.pose, added]), times=torch.cat([track.times, times]))


def fill_gaps(forecaster: Forecaster, track: PoseTrack, hands: Sequence[HandModel]) -> tuple[PoseTrack, int, int]:
    """The track without the gaps that have enough frames before and after them.

    A gap is where a hand is absent, or where keys are much further apart than usual. What follows from before it and
    what must have led to after it, forecast in time reversed, are blended.

    Args:
        forecaster: Of angles.
        track: Poses.
        hands: Hand models that the poses refer to, of the track's sides.

    Returns:
        The track, how many gaps were filled, and how many were left.
    """
    config = _of_angles(forecaster)
    filled = left = 0
    parts: list[PoseTrack] = []
    closed: list[list[tuple[float, float]]] = []
    new_times = [track.times]
    for hand, side in enumerate(track.sides):
        states = HandStates.of(next(model for model in hands if model.side == side))
        runs = unbroken(track, hand)
        whole = [one_hand(track, hand, runs[0])] if runs else [one_hand(track, hand)]
        there = [_span(track, run) for run in runs]
        for before, after in zip(runs, runs[1:], strict=False):
            times = _times_between(track.times[before[-1]], track.times[after[0]], config.fps)
            bridge = _bridge(forecaster, track, hand, states, before, after, len(times)) if len(times) else None
            if bridge is None:
                left += 1
            else:
                filled += 1
                there.append((float(track.times[before[-1]]), float(track.times[after[0]])))
                new_times.append(times)
                pose = states.pose(bridge)
                whole.append(PoseTrack((side,), HandPose(*(value[:, None] for value in vars(pose).values())), times))
            whole.append(one_hand(track, hand, after))
        parts.append(_joined(whole))
        closed.append(there)
    times = _without_near(torch.cat(new_times), NEAR / config.fps)
    at = [part.at(times) for part in parts]
    present = torch.stack([_within(times, there, NEAR / config.fps) for there in closed], dim=1)
    pose = HandPose(*(torch.cat([getattr(pose, field.name) for pose in at], 1) for field in fields(HandPose)))
    return replace(track, pose=replace(pose, valid=pose.valid & present), times=times), filled, left


def only(track: PoseTrack, side: str) -> PoseTrack:
    """One hand of a track.

    Raises:
        HandsError: The track lacks it.
    """
    if side not in track.sides:
        raise HandsError(
            f"Pose track {track.name!r}: expected the {side} hand, found only the {' and '.join(track.sides)} one: "
            "give another --hand."
        )
    return one_hand(track, track.sides.index(side))


def continued_states(
    forecaster: Forecaster,
    hand: HandStates,
    given: Float[Tensor, "T 57"],
    frames: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "N 57"]:
    """How the states of one hand go on, within the limits of its joints.

    The most probable frames come first, drawn ones from where training has not seen how it goes on.

    Args:
        forecaster: Of angles.
        hand: Whose states they are.
        given: At least as many as the forecaster reads.
        frames: N.
        generator: As of `continue_track`.
    """
    first = frames if generator is None else min(frames, forecaster.config.frames_out)
    said = forecaster.forecast(given[None], first)[0]
    if generator is not None and first < frames:
        window = torch.cat([given, said])[None]
        said = torch.cat([said, forecaster.forecast_drawn(window, frames - first, generator)[0]])
    return hand.within_limits(said, given)


def _of_angles(forecaster: Forecaster):
    if forecaster.config.numbers != "angles":
        raise HandsError(
            f"forecaster: expected one of joint angles, which make poses, found one of {forecaster.config.numbers} "
            "joint positions: give another --checkpoint."
        )
    return forecaster.config


def _window(track: PoseTrack, hand: int, states: HandStates, forecaster: Forecaster) -> Float[Tensor, "T 57"]:
    """The last frames of a hand, at the forecaster's rate."""
    config, runs = forecaster.config, unbroken(track, hand)
    seconds = (config.frames_in - 1) / config.fps
    last = track.num_keys - 1
    if not runs or int(runs[-1][-1]) != last:
        raise HandsError(
            f"Pose track {track.name!r}: expected the {track.sides[hand]} hand to be there at its end, from where it "
            "is to go on, found it missing: cut the track where the hand was last seen."
        )
    length = float(track.times[last] - track.times[runs[-1][0]])
    if length < seconds - 1e-3:
        raise HandsError(
            f"Pose track {track.name!r}: expected {config.frames_in} frames at {config.fps:g} a second ({seconds:.2f} "
            f"s) of the {track.sides[hand]} hand without a gap at its end, found {length:.2f} s: give a longer track."
        )
    return _ending_at(track, hand, states, runs[-1], config.frames_in, config.fps)


def _ending_at(track: PoseTrack, hand: int, states: HandStates, keys: Tensor, count: int, fps: float) -> Tensor:
    end = float(track.times[keys[-1]])
    times = (end - torch.arange(count - 1, -1, -1) / fps).clamp_min(float(track.times[keys[0]]))
    return sampled_states(track, hand, states, times, keys)


def _beginning_at(track: PoseTrack, hand: int, states: HandStates, keys: Tensor, count: int, fps: float) -> Tensor:
    times = (float(track.times[keys[0]]) + torch.arange(count) / fps).clamp_max(float(track.times[keys[-1]]))
    return sampled_states(track, hand, states, times, keys)


def _bridge(
    forecaster: Forecaster, track: PoseTrack, hand: int, states: HandStates, before: Tensor, after: Tensor, count: int
) -> Float[Tensor, "N 57"] | None:
    """What lies between two runs; None where one is shorter than what the forecaster reads."""
    config = forecaster.config
    seconds = (config.frames_in - 1) / config.fps - 1e-3
    if any(float(track.times[run[-1]] - track.times[run[0]]) < seconds for run in (before, after)):
        return None
    past = _ending_at(track, hand, states, before, config.frames_in, config.fps)
    future = _beginning_at(track, hand, states, after, config.frames_in, config.fps)
    onwards = forecaster.forecast(past[None], count)[0]
    backwards = forecaster.forecast(future.flip(0)[None], count)[0].flip(0)
    share = torch.arange(1, count + 1) / (count + 1)
    return states.within_limits(blended(onwards, backwards, share**2 * (3 - 2 * share)), torch.cat([past, future]))


def blended(
    first: Float[Tensor, "N 57"], second: Float[Tensor, "N 57"], share: Float[Tensor, " N"]
) -> Float[Tensor, "N 57"]:
    """States between pairs of states; the wrist turns the shorter way."""
    (angles, turn, place), (other_angles, other_turn, other_place) = split_state(first), split_state(second)
    turned = slerp(rotation_vector(turn), rotation_vector(other_turn), share)
    part = share[:, None]
    return join_state(
        torch.lerp(angles, other_angles, part), rotation_matrix(turned), torch.lerp(place, other_place, part)
    )


def _times_between(begin: Tensor, end: Tensor, fps: float) -> Float[Tensor, " N"]:
    """Frames within a gap, evenly spaced, about as far apart as those that the forecaster says."""
    count = max(round(float(end - begin) * fps) - 1, 0)
    return torch.linspace(float(begin), float(end), count + 2)[1:-1]


def _joined(parts: Sequence[PoseTrack]) -> PoseTrack:
    pose = join_poses([part.pose for part in parts])
    return replace(parts[0], pose=pose, times=torch.cat([part.times for part in parts]))


def _without_near(times: Float[Tensor, " N"], near: float) -> Float[Tensor, " N"]:
    """Times in order, without those that follow another too closely."""
    ordered = times.unique()
    return ordered[torch.cat([torch.tensor([True]), ordered.diff() > near])]


def _span(track: PoseTrack, run: Tensor) -> tuple[float, float]:
    return float(track.times[run[0]]), float(track.times[run[-1]])


def _within(times: Float[Tensor, " N"], spans: Sequence[tuple[float, float]], slack: float) -> Bool[Tensor, " N"]:
    """Which times lie in one of some spans."""
    inside = [(times > begin - slack) & (times < end + slack) for begin, end in spans]
    return torch.stack(inside).any(dim=0) if inside else torch.zeros_like(times, dtype=torch.bool)
