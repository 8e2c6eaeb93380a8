"""Progress of long work: a bar on a terminal, now and then a plain line in a pipe or a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

Report = Callable[..., None]
"""Called with the amount done and, where these change, the `total` and the `description`."""

LINE_SECONDS = 5.0
"""Between two plain lines: seldom enough for a log, often enough to see that something happens."""


def say(line: str) -> None:
    """Prints a line at once, also into a pipe, which Python would otherwise fill before it passes anything on."""
    print(line, flush=True)


@contextmanager
def show_progress(description: str, total: float | None = None) -> Iterator[Report]:
    """Shows how far something has come: nerfstudio's kind of bar on a terminal, plain lines elsewhere.

    Args:
        description: What is being done, for people.
        total: The amount of work, in any unit; None while it is unknown.

    Yields:
        A function `report(done, total=None, description=None)`.
    """
    if not sys.stdout.isatty():
        yield _Lines(description, total).report
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(width=120), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def report(done: float, total: float | None = None, description: str | None = None) -> None:
            bar.update(task, completed=done, total=total, description=description)

        yield report


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """The items, with progress; `total` is how many there are, for iterables that do not know."""
    total = len(items) if total is None else total  # type: ignore[arg-type]
    with show_progress(description, total) as report:
        for done, item in enumerate(items):
            report(done)
            yield item
        report(total)


class _Lines:
    """Plain lines: the first at once, then one every `LINE_SECONDS` while the work goes on."""

    def __init__(self, description: str, total: float | None):
        self._description, self._total = description, total
        self._start = self._last = time.monotonic()
        say(f"{description} ...")

    def report(self, done: float, total: float | None = None, description: str | None = None) -> None:
        self._description = description or self._description
        self._total = self._total if total is None else total
        now = time.monotonic()
        if now - self._last < LINE_SECONDS:
            return
        self._last, spent = now, now - self._start
        line = f"{self._description}: {spent:.0f} s"
        if self._total and done:
            left = spent * (self._total / done - 1)
            line = f"{self._description}: {done / self._total:.0%}, {spent:.0f} s, about {left:.0f} s remaining"
        say(line)
