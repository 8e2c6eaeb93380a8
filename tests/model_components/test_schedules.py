"""What comes and goes during training."""

from __future__ import annotations

import pytest

from nerfstudio_hands.model_components.schedules import Schedule


def test_progress_is_even_between_start_and_end():
    schedule = Schedule(start=0.2, end=0.6)
    assert [schedule.progress(trained) for trained in (0, 0.2, 0.3, 0.6, 1)] == pytest.approx([0, 0, 0.25, 1, 1])


def test_a_schedule_without_length_is_a_step():
    assert [Schedule(0.0, 0.0).progress(trained) for trained in (0, 0.5)] == [1, 1]
    assert [Schedule(0.5, 0.5).progress(trained) for trained in (0.49, 0.5)] == [0, 1]
