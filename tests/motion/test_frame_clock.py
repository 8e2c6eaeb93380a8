"""The rate of InterHand2.6M's frames by the steps of their numbers."""

import pytest

from nerfstudio_hands.motion.frame_clock import frame_clock, usual_step


@pytest.mark.parametrize(
    ("step", "frames_a_second"),
    [(18, 5), (3, 30), (6, 5), (1, 30), (36, 2.5), (12, 2.5), (2, 15)],
    ids=["train 5", "train 30", "val 5", "val 30", "every other of train 5", "every other of val 5", "of val 30"],
)
def test_published_steps_give_published_rates(step: int, frames_a_second: float) -> None:
    numbers = [40 + step * index for index in (0, 1, 2, 3, 7, 8, 9, 20)]  # Some frames are missing.
    assert frame_clock(reversed(numbers)) / usual_step(numbers) == frames_a_second


def test_a_single_frame_has_some_rate() -> None:
    assert frame_clock([7]) > 0 and usual_step([7]) == 1
