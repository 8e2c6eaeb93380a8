"""How far a batch has come, by its ledger: counts, what runs where, and what failed.

Imports little: `ns-hands batch status` is asked again and again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from sqlite3 import Row

from rich.console import Group
from rich.table import Table
from rich.text import Text

from nerfstudio_hands.fleet.ledger import Ledger
from nerfstudio_hands.fleet.step import STEPS

MOST_ROWS = 12
"""Running steps, and sentences of failed ones, that a table shows."""


@dataclass(frozen=True)
class Progress:
    """How far a batch has come.

    Attributes:
        counts: Steps by (step, state).
        total, done, failed, running: Steps.
        blocked: Steps that wait for one that failed.
        seconds_left: Estimate to the end at the present width, by the mean of each kind of step so far; None where
            there is nothing to go by.
    """

    counts: dict[tuple[str, str], int]
    total: int
    done: int
    failed: int
    running: int
    blocked: int
    seconds_left: float | None

    @staticmethod
    def of(ledger: Ledger) -> Progress:
        """What the ledger says now."""
        found = ledger.counts()
        counts = {key: count for key, (count, _) in found.items()}
        total = dict.fromkeys(("done", "failed", "running"), 0)
        for (_, state), count in counts.items():
            if state in total:
                total[state] += count
        blocked = ledger.blocked() if total["failed"] else {}
        width = max(1, total["running"])
        known = {step: seconds for (step, state), (_, seconds) in found.items() if state == "done"}
        left = {
            step: counts.get((step, "waiting"), 0) + counts.get((step, "running"), 0) / 2 - blocked.get(step, 0)
            for step in STEPS
        }
        can_tell = total["running"] and all(step in known for step, count in left.items() if count > 0)
        seconds = sum(known.get(step, 0) * count for step, count in left.items()) / width
        return Progress(
            counts,
            sum(counts.values()),
            **total,
            blocked=sum(blocked.values()),
            seconds_left=seconds if can_tell else None,
        )

    def sentence(self) -> str:
        """All of it in a line."""
        parts = [f"{self.done} of {self.total} steps done", f"{self.running} running"]
        if self.failed:
            parts.append(f"{self.failed} failed, {self.blocked} waiting for those")
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def tables(ledger: Ledger) -> Group:
    """Counts, what runs where, and what failed with its sentence."""
    progress = Progress.of(ledger)
    counts = Table(box=None, header_style="bold")
    for heading in ("step", "waiting", "running", "done", "failed"):
        counts.add_column(heading, justify="left" if heading == "step" else "right")
    for step in STEPS:
        row = [progress.counts.get((step, state), 0) for state in ("waiting", "running", "done", "failed")]
        if any(row):
            counts.add_row(step, *map(str, row))
    parts: list[Table | Text] = [Text(progress.sentence()), counts]
    if progress.running:
        parts.append(_running([row for row in ledger.rows("running") if row["started"] is not None]))
    if progress.failed:
        parts.append(_failed(ledger.rows("failed", most=MOST_ROWS), progress.failed))
    return Group(*parts)


def _running(rows: list[Row]) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in ("running", "on", "since"):
        table.add_column(heading)
    for row in rows[:MOST_ROWS]:
        table.add_row(Text(row["key"]), Text(row["host"]), duration(max(0, time.time() - row["started"])))
    if len(rows) > MOST_ROWS:
        table.add_row(f"and {len(rows) - MOST_ROWS} others", "", "")
    return table


def _failed(rows: list[Row], count: int) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("failed")
    table.add_column("because", overflow="fold")
    for row in rows:
        table.add_row(Text(row["key"]), Text(row["sentence"]))
    if count > len(rows):
        table.add_row(f"and {count - len(rows)} others", "see results.csv")
    return table
