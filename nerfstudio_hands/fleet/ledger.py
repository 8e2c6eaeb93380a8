"""What became of every step, in SQLite: one row a step, each change one transaction, so that any process may be killed
at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.cache_folder import cache_folder
from nerfstudio_hands.fleet import addresses
from nerfstudio_hands.fleet.step import Step

LEDGER_FILE = "ledger.sqlite"
LEDGER_VERSION = 2
"""Raised whenever an older ledger would be read wrongly."""
LOCK_SECONDS = 60.0
"""For which a change waits while somebody reads, and the other way round."""

_TABLES = """
CREATE TABLE IF NOT EXISTS steps (
    key TEXT PRIMARY KEY, position INTEGER, capture TEXT, method TEXT, step TEXT, inputs TEXT, state TEXT,
    attempts INTEGER, host TEXT, started REAL, ended REAL, exit INTEGER, sentence TEXT, figures TEXT, versions TEXT,
    log TEXT, content TEXT
);
CREATE INDEX IF NOT EXISTS by_state ON steps (state, step);
CREATE INDEX IF NOT EXISTS by_capture ON steps (capture, state);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
"""


def ledger_folder(results: str) -> Path:
    """Where the ledger lies: beside local results, else in the cache of the machine that drives."""
    if not addresses.is_url(results):
        return Path(results)
    return cache_folder() / "fleets" / addresses.short_digest(results)


@dataclass
class Outcome:
    """How a step ended.

    Attributes:
        key: The step's.
        state: "done", "failed", or "lost" where its worker was killed.
        exit: Status of its command; of one that was killed, the signal's number below zero.
        host: Machine that it ran on.
        started, ended: Seconds since 1970.
        sentence: What went wrong, in one sentence.
        figures: What it measured.
        versions: Versions of what it ran with.
        log: Its log's path below the results.
        content: Digest of the capture's files, see `addresses.content_digest`, as they were when the batch began.
    """

    key: str
    state: str
    exit: int = 0
    host: str = ""
    started: float = 0
    ended: float = 0
    sentence: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    log: str = ""
    content: str = ""


class Ledger:
    """The ledger beside some results. Reading needs no lock; who writes holds the drivers' (`driver_lock`)."""

    def __init__(self, path: Path, *, writes: bool = True):
        """Opens a ledger.

        Args:
            path: Its file.
            writes: Whether to write there, and to make it where there is none.

        Raises:
            HandsError: The file is no ledger, of another version, or its folder cannot be read or written.
        """
        self.path = path
        with self._explained():
            # Who only reads may have to put right what a killed driver left, and needs not be able to.
            mode = "rwc" if writes else "rw"
            self._rows = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, timeout=LOCK_SECONDS
            )
            self._rows.row_factory = sqlite3.Row
            if writes:
                # Not by a write-ahead log, which must not lie on a network disk, as results of a cluster do.
                self._rows.execute("PRAGMA journal_mode=TRUNCATE")
                # A power cut may cost the ledger; receipts among the results then tell what is done.
                self._rows.execute("PRAGMA synchronous=OFF")
                self._rows.executescript(_TABLES)
                self._rows.execute("INSERT OR IGNORE INTO facts VALUES ('version', ?)", (str(LEDGER_VERSION),))
            version = self.fact("version")
        if version != str(LEDGER_VERSION):
            raise HandsError(
                f"{path}: expected a ledger of version {LEDGER_VERSION}, found version {version}; use the version of "
                "nerfstudio-hands that wrote it, or other results."
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            remedy = "see that there is space and that you may write there"
            if any(words in str(error) for words in ("malformed", "not a database")):
                remedy = "move it away, and the next start makes one by what it finds done"
            raise HandsError(
                f"{self.path}: expected a ledger that can be read and written, found '{error}'; {remedy}."
            ) from error

    def close(self) -> None:
        """Closes the file."""
        self._rows.close()

    def fact(self, name: str) -> str | None:
        """A fact about all of the results."""
        row = self._rows.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def state_fact(self, name: str, value: str) -> None:
        """Writes a fact down."""
        with self._explained():
            self._rows.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def add(self, steps: Iterable[Step]) -> None:
        """Takes in the steps of a plan; those that it has stay as they are.

        Raises:
            HandsError: The ledger has steps that are not the plan's, or with other inputs.
        """
        asked = {step.key: step for step in steps}
        known = {row["key"]: row for row in self.rows()}
        for key, row in known.items():
            if key not in asked:
                raise _of_another_plan(self.path, key, "the plan has no such step")
            if row["inputs"] != asked[key].inputs:
                raise _of_another_plan(self.path, key, "the plan has other options or another capture for it")
        new = [
            (step.key, place, step.capture, step.method, step.step, step.inputs)
            for place, step in enumerate(asked.values())
        ]
        with self._explained(), self._rows:
            self._rows.execute("BEGIN")
            self._rows.executemany(
                "INSERT INTO steps (key, position, capture, method, step, inputs, state, attempts) "
                "VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0) ON CONFLICT (key) DO UPDATE SET position = excluded.position",
                new,
            )

    def rows(self, state: str | None = None, *, most: int = -1) -> list[sqlite3.Row]:
        """All steps, or those in a state, in the plan's order; the first of them where there are more than `most`."""
        where, given = ("", ()) if state is None else (" WHERE state = ?", (state,))
        with self._explained():
            return self._rows.execute(
                f"SELECT * FROM steps{where} ORDER BY position LIMIT ?", (*given, most)
            ).fetchall()

    def counts(self) -> dict[tuple[str, str], tuple[int, float]]:
        """Number of steps and mean seconds of one, by (step, state). What has been given to a worker, as a cluster is
        given a thousand steps at once, and has not begun there counts among those that wait."""
        with self._explained():
            found = self._rows.execute(
                "SELECT step, CASE WHEN state = 'running' AND started IS NULL THEN 'waiting' ELSE state END AS now, "
                "count(*) AS count, avg(ended - started) AS seconds FROM steps GROUP BY step, now"
            ).fetchall()
        return {(row["step"], row["now"]): (row["count"], row["seconds"] or 0.0) for row in found}

    def blocked(self) -> dict[str, int]:
        """Number of waiting steps that something failed stands before, by step."""
        with self._explained():
            found = self._rows.execute(
                "SELECT step, count(*) FROM steps AS later WHERE state = 'waiting' AND EXISTS (SELECT 1 FROM steps "
                "WHERE steps.capture = later.capture AND steps.state = 'failed' AND (steps.step = 'fit' OR "
                "(steps.step = 'train' AND steps.method = later.method))) GROUP BY step"
            ).fetchall()
        return {step: count for step, count in found}

    def begin(self, key: str, attempt: int) -> None:
        """A step has been given to a worker, for the first time or again."""
        self._set(key, state="running", attempts=attempt, host="", exit=None, sentence="", started=None, ended=None)

    def started(self, key: str, host: str, when: float) -> None:
        """A worker has begun with it."""
        self._set(key, host=host, started=when)

    def end(self, outcome: Outcome) -> None:
        """A step is done or has failed."""
        self._set(
            outcome.key,
            state=outcome.state,
            exit=outcome.exit,
            host=outcome.host,
            started=outcome.started,
            ended=outcome.ended,
            sentence=outcome.sentence,
            figures=json.dumps(outcome.figures),
            versions=json.dumps(outcome.versions),
            log=outcome.log,
            content=outcome.content,
        )

    def wait(self, key: str, sentence: str = "") -> None:
        """A step is to be done again."""
        self._set(key, state="waiting", sentence=sentence, started=None, ended=None, exit=None)

    def _set(self, key: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._explained():
            self._rows.execute(f"UPDATE steps SET {columns} WHERE key = ?", (*values.values(), key))


def _of_another_plan(path: Path, key: str, what: str) -> HandsError:
    return HandsError(
        f"{path.parent}: expected the results of this plan, found those of another ({key}: {what}); give another "
        "results folder, or rename the capture or method. A plan may grow by captures, methods and steps."
    )
