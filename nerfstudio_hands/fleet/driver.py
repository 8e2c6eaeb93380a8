"""Goes through the steps of a plan: hands out those that can begin, and writes down what becomes of each."""

from __future__ import annotations

import heapq
import json
import os
import socket
import sqlite3
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet import addresses
from nerfstudio_hands.fleet.engines import Engine, Started
from nerfstudio_hands.fleet.ledger import LEDGER_FILE, Ledger, Outcome, ledger_folder
from nerfstudio_hands.fleet.plan import Resources
from nerfstudio_hands.fleet.scratch import locked, remove_abandoned
from nerfstudio_hands.fleet.step import Step
from nerfstudio_hands.fleet.task import Task, versions
from nerfstudio_hands.fleet.worker import RECEIPT, RESULTS_FILE, WORK_FOLDER, read_receipt

MOST_LOSSES = 3
"""How often a step may lose its worker before it counts as failed: it may be what kills them, by its memory."""
DRIVER_FILE = "driver.json"
"""Beside results at a URL: who drives."""
LEASE_SECONDS = 180.0
"""After so long without a sign, a driver of results at a URL is taken for gone."""
TICK_SECONDS = 0.5

Watch = Callable[[Ledger, "Outcome | Started | None"], None]
"""Called with each event, and with None now and then."""


@contextmanager
def opened_results(results: str) -> Iterator[tuple[Ledger, str]]:
    """The ledger and the identity of some results, for the one driver that may write there.

    Raises:
        HandsError: Another driver is at work, or there is no place to write.
    """
    folder = ledger_folder(results)
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(locked(folder / ".driver.lock", wait=False))
            if lock is None:
                raise _already_driven(results, (folder / ".driver.lock").read_text())
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            identity = _identity(results, folder)
        except OSError as error:
            raise HandsError(
                f"{results}: expected a place for results, found '{error.strerror or error}'; give another one."
            ) from error
        ledger = Ledger(folder / LEDGER_FILE)
        stack.callback(ledger.close)
        yield ledger, identity


def _already_driven(results: str, who: str) -> HandsError:
    return HandsError(
        f"{results}: expected results that nobody works on, found a driver at work ({who.strip() or 'just begun'}); "
        "wait for it, look with `ns-hands batch status`, or give other results."
    )


def _identity(results: str, folder: Path) -> str:
    """What workers know the results by; made once.

    Raises:
        HandsError: The folder has files of something else.
    """
    address = addresses.join(results, RESULTS_FILE)
    content = addresses.read_file(address)
    if content is not None:
        try:
            return str(json.loads(content)["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise HandsError(
                f"{address}: expected the file of a batch's results, found something else; give other results."
            ) from error
    if not addresses.is_url(results) and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise HandsError(
            f"{results}: expected a new folder or one of a batch's results, found other files; give another one."
        )
    identity = uuid.uuid4().hex
    addresses.write_file(address, json.dumps({"id": identity, "by": versions()}, indent=1).encode())
    return identity


class Lease:
    """Results at a URL have no lock; who drives says so there again and again."""

    def __init__(self, results: str):
        """Takes the lease.

        Raises:
            HandsError: Another driver has given a sign within `LEASE_SECONDS`.
        """
        self._results, self._address = results, addresses.join(results, DRIVER_FILE)
        self._me, self._last = uuid.uuid4().hex, 0.0
        self._remote = addresses.is_url(results)
        if self._remote:
            self._require_free()
            self.renew()

    def renew(self) -> None:
        """Says it again where it is time."""
        if self._remote and time.monotonic() - self._last > LEASE_SECONDS / 4:
            self._require_free()
            sign = {"driver": self._me, "who": socket.gethostname(), "when": time.time()}
            addresses.write_file(self._address, json.dumps(sign).encode())
            self._last = time.monotonic()

    def end(self) -> None:
        """Gives the lease up."""
        if self._remote:
            addresses.write_file(self._address, json.dumps({"driver": self._me, "who": "", "when": 0}).encode())

    def _require_free(self) -> None:
        try:
            sign = json.loads(addresses.read_file(self._address) or b"{}")
            other = sign.get("driver", self._me) != self._me and time.time() - sign["when"] < LEASE_SECONDS
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if other:
            raise _already_driven(self._results, f"on {sign.get('who')}")


@dataclass
class Driver:
    """The steps of a plan with their ledger.

    Attributes:
        steps: All steps, each after those that it needs.
        ledger: Their ledger.
        results: Folder or URL.
        identity: What workers know the results by.
        scratch: Folder on workers.
        resources: What each kind of step occupies.
        programs: Commands to run instead of those installed.
    """

    steps: list[Step]
    ledger: Ledger
    results: str
    identity: str
    scratch: Path
    resources: Mapping[str, Resources] = field(default_factory=dict)
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_key = {step.key: step for step in self.steps}
        self._place = {step.key: place for place, step in enumerate(self.steps)}
        self._after: dict[str, list[str]] = defaultdict(list)
        for step in self.steps:
            for key in step.needs:
                self._after[key].append(step.key)
        self._losses: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()

    def recover(self, *, retry: bool = False) -> None:
        """Takes the steps into the ledger and sees what a driver that ended at any moment has left.

        A result with a receipt is done, whoever recorded it; what runs for nobody is to be done again; what is half
        made is removed.

        Args:
            retry: Whether those that failed are to be tried again.

        Raises:
            HandsError: The ledger or a result is of another plan.
        """
        self.ledger.add(self.steps)
        local = not addresses.is_url(self.results)
        if local:
            remove_abandoned(Path(self.results) / WORK_FOLDER)
        new = self.ledger.fact("recovered") is None
        for row in self.ledger.rows():
            if local or new or row["state"] == "running":
                self._adopt(row)
            if row["state"] == "failed" and retry:
                self.ledger.wait(row["key"])
        self.ledger.state_fact("recovered", str(time.time()))

    def _adopt(self, row: sqlite3.Row) -> None:
        """One step, by the receipt among the results."""
        if row["state"] == "done" and not addresses.is_url(self.results):
            # Its content was read when it was recorded.
            if (Path(self.results) / row["key"] / RECEIPT).is_file():
                return
        receipt = read_receipt(self.results, row["key"])
        if receipt is not None and receipt[0] != row["inputs"]:
            raise HandsError(
                f"{self.results}/{row['key']}: expected the result of this plan, found one made with other options; "
                "give another results folder, or rename the capture or method."
            )
        if receipt is not None:
            self.ledger.end(receipt[1])
        elif row["state"] in ("running", "done"):
            self.ledger.wait(row["key"])

    def run(self, engine: Engine, watch: Watch) -> None:
        """Does all that can be done; returns when nothing runs and nothing can begin.

        Raises:
            HandsError: No step can be done, because workers are not such as the plan needs; or another driver came.
        """
        rows = self.ledger.rows()
        states = {row["key"]: row["state"] for row in rows}
        self._attempts = Counter({row["key"]: row["attempts"] for row in rows})
        done = {key for key, state in states.items() if state == "done"}
        ready = [
            self._place[step.key]
            for step in self.steps
            if states[step.key] == "waiting" and all(key in done for key in step.needs)
        ]
        heapq.heapify(ready)
        lease, running = Lease(self.results), 0
        try:
            while ready or running:
                while ready and engine.has_room():
                    self._submit(engine, self.steps[heapq.heappop(ready)])
                    running += 1
                for event in engine.events(TICK_SECONDS):
                    if isinstance(event, HandsError):
                        raise event
                    if isinstance(event, Started):
                        self.ledger.started(event.key, event.host, event.when)
                    else:
                        running -= 1
                        for key in self._end(event, done):
                            heapq.heappush(ready, self._place[key])
                    watch(self.ledger, event)
                lease.renew()
                watch(self.ledger, None)
        finally:
            engine.close()
            self._let_go()
        lease.end()

    def _submit(self, engine: Engine, step: Step) -> None:
        self._attempts[step.key] += 1
        self.ledger.begin(step.key, self._attempts[step.key])
        task = Task(
            step=step,
            results=self.results,
            results_id=self.identity,
            scratch=self.scratch,
            version=versions()["nerfstudio-hands"],
            attempt=self._attempts[step.key],
            programs=self.programs,
        )
        engine.submit(task, self.resources.get(step.step, Resources(gpus=0 if step.step == "fit" else None)))

    def _end(self, outcome: Outcome, done: set[str]) -> list[str]:
        """Writes down how a step ended; the steps that can begin by that."""
        if outcome.state == "lost":
            self._losses[outcome.key] += 1
            if self._losses[outcome.key] < MOST_LOSSES:
                self.ledger.wait(outcome.key, outcome.sentence)
                return [outcome.key]
            outcome.state = "failed"
            outcome.sentence = f"lost {MOST_LOSSES} times, perhaps for want of memory: {outcome.sentence}"
        self.ledger.end(outcome)
        if outcome.state != "done":
            return []
        done.add(outcome.key)
        return [key for key in self._after[outcome.key] if all(need in done for need in self._by_key[key].needs)]

    def _let_go(self) -> None:
        """What was handed out and did not end is to be done again."""
        for row in self.ledger.rows("running"):
            self.ledger.wait(row["key"])
