"""Hands of one camera, followed through its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from nerfstudio_hands.estimators.hand_detector import DetectedHand

MAX_STEP = 0.7
"""Mean way of the landmarks between two pictures, in sizes of the hand, beyond which it is another hand."""

MAX_GAP = 8
"""Pictures in which a hand may be lost before it is taken for another one."""

MIN_LEAD = 0.15
"""A hand that is nearer than this to where another one was, in sizes, may be that one."""

MAX_LOG_ODDS = 3.0
"""So much (95 %) one picture may say of the side: a view from the edge can be sure and wrong."""


@dataclass
class Tracklet:
    """A hand as one camera saw it, from picture to picture.

    Attributes:
        camera: Index of the camera.
        hands: The hand in each frame in which it was found, in order of time.
    """

    camera: int
    hands: dict[int, DetectedHand] = field(default_factory=dict)

    @property
    def log_odds(self) -> float:
        """How much all pictures together speak for a right hand (negative: for a left one)."""
        rights = np.clip([hand.right for hand in self.hands.values()], 1e-6, 1 - 1e-6)
        return float(np.clip(np.log(rights / (1 - rights)), -MAX_LOG_ODDS, MAX_LOG_ODDS).sum())

    @property
    def presence(self) -> float:
        """Pixels of the hand's size, summed over its pictures: large for whom the pictures were taken of."""
        return float(sum(hand_size(hand) for hand in self.hands.values()))


def hand_size(hand: DetectedHand) -> float:
    """The longer side of the box round a hand, pixels."""
    return float(np.ptp(hand.pixels, axis=0).max())


def follow_hands(
    camera: int, frames: Sequence[Sequence[DetectedHand]], *, others_bridge: bool = False
) -> list[Tracklet]:
    """Link the hands of one camera from frame to frame, nearest first.

    Args:
        camera: Its index, which the tracklets get.
        frames: Hands in each frame, in order of time.
        others_bridge: Whether other cameras tell how a hand goes on that was lost, or came near another one. It then
            begins anew there, because a slip would join two hands.
    """
    tracklets: list[Tracklet] = []
    max_gap = 1 if others_bridge else MAX_GAP
    for frame, hands in enumerate(frames):
        recent = [t for t in tracklets if frame - max(t.hands) <= max_gap]
        steps = hand_steps([t.hands[max(t.hands)] for t in recent], hands)
        taken = set()
        for before, now in zip(*linear_sum_assignment(steps), strict=True):
            if steps[before, now] < MAX_STEP and not (others_bridge and _has_rival(steps, before, now)):
                recent[before].hands[frame] = hands[now]
                taken.add(now)
        tracklets += [Tracklet(camera, {frame: hand}) for index, hand in enumerate(hands) if index not in taken]
    return tracklets


def _has_rival(steps: Float[np.ndarray, "B N"], before: int, now: int) -> bool:
    """Whether another hand is hardly further away than the one that was chosen."""
    others = np.concatenate([np.delete(steps[before], now), np.delete(steps[:, now], before)])
    return bool((others < max(2 * steps[before, now], MIN_LEAD)).any())


def hand_steps(before: Sequence[DetectedHand], now: Sequence[DetectedHand]) -> Float[np.ndarray, "B N"]:
    """Mean way of the landmarks from each hand to each, in sizes of the hand."""
    steps = np.zeros((len(before), len(now)))
    for row, first in enumerate(before):
        for column, second in enumerate(now):
            way = np.linalg.norm(first.pixels - second.pixels, axis=-1).mean()
            steps[row, column] = way / max(hand_size(first), hand_size(second), 1e-9)
    return steps
