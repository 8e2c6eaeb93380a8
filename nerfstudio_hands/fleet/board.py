"""How far a batch has come, for people: a live table on a terminal, a line a step in a pipe."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.live import Live

from nerfstudio_hands.fleet.engines import Started
from nerfstudio_hands.fleet.ledger import Ledger, Outcome
from nerfstudio_hands.fleet.status import Progress, duration, tables
from nerfstudio_hands.program.progress import say

REDRAW_SECONDS = 1.0


class Board:
    """Shows a batch while it runs; a context whose value is called with each event (`driver.Watch`)."""

    def __init__(self, description: str):
        self._description, self._drawn = description, 0.0
        self._live: Live | None = None

    def __enter__(self) -> Board:
        say(f"Running steps: {self._description}")
        if sys.stdout.isatty():
            self._live = Live(console=Console(), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, ledger: Ledger, event: Outcome | Started | None) -> None:
        if self._live is None:
            self._print(ledger, event)
        elif time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(tables(ledger), refresh=True)

    def _print(self, ledger: Ledger, event: Outcome | Started | None) -> None:
        if isinstance(event, Outcome):
            seconds = event.ended - event.started
            why = f": {event.sentence}" if event.sentence else ""
            say(f"{event.key} {event.state} after {duration(seconds)} on {event.host or 'a lost worker'}{why}")
            if time.monotonic() - self._drawn > REDRAW_SECONDS:
                self._drawn = time.monotonic()
                say(Progress.of(ledger).sentence())
