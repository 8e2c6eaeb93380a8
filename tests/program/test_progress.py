from __future__ import annotations

import sys

import pytest

from nerfstudio_hands.program import progress
from nerfstudio_hands.program.progress import show_progress, track


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_pipe_gets_a_line_at_once_and_then_every_few_seconds(clock: Clock, capsys) -> None:
    with show_progress("Fitting hands", 100) as report:
        assert capsys.readouterr().out == "Fitting hands ...\n"
        for done in range(1, 21):
            clock.now = done / 2
            report(done)
        lines = capsys.readouterr().out.splitlines()
        assert lines == [
            "Fitting hands: 10%, 5 s, about 45 s remaining",
            "Fitting hands: 20%, 10 s, about 40 s remaining",
        ]
        clock.now = 30.0
        report(50, total=200, description="Outlines")
        assert capsys.readouterr().out == "Outlines: 25%, 30 s, about 90 s remaining\n"


def test_without_a_total_the_time_is_said(clock: Clock, capsys) -> None:
    with show_progress("Rendering") as report:
        clock.now = 7.0
        report(3)
    assert capsys.readouterr().out.splitlines()[-1] == "Rendering: 7 s"


def test_tracked_items_come_whole_and_lazily(clock: Clock, capsys) -> None:
    made = []

    def items():
        for number in range(3):
            made.append(number)
            clock.now += 6.0
            yield number

    seen = []
    for item in track(items(), "Writing", total=3):
        assert made[-1] == item
        seen.append(item)
    assert seen == [0, 1, 2]
    assert capsys.readouterr().out.splitlines()[0] == "Writing ..."


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with show_progress("Fitting hands", 2) as report:
        report(1)
    assert "Fitting hands ..." not in capsys.readouterr().out
