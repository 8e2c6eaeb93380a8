"""The rate at which InterHand2.6M's frames follow each other, which nothing but their numbers tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

FRAME_CLOCKS = {18: 90.0, 3: 90.0, 6: 30.0, 1: 30.0}
"""Frame numbers a second by the usual step between them: the training split counts the 90 pictures a second that the
cameras took (18 apart at 5 frames a second, 3 at 30), validation and test count 30 (6 and 1 apart)."""


def usual_step(numbers: Iterable[int]) -> int:
    """The most frequent step from one frame number to the next, the smaller of equals; 1 for a single frame."""
    ordered = sorted(set(numbers))
    steps = Counter(after - before for before, after in zip(ordered, ordered[1:], strict=False))
    return min(steps, key=lambda step: (-steps[step], step), default=1)


def frame_clock(numbers: Iterable[int]) -> float:
    """How many frame numbers pass in a second.

    Args:
        numbers: Frame numbers of one capture in any order. Where only some frames were kept, their step is a multiple
            of a known one; the largest that divides it counts.
    """
    step = usual_step(numbers)
    return next(clock for known, clock in sorted(FRAME_CLOCKS.items(), reverse=True) if step % known == 0)
