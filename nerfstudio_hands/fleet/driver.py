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
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet import addresses
from nerfstudio_hands.fleet.engines import Engine, Started
from nerfstudio_hands.fleet.ledger import LEDGER_FILE, Ledger, Outcome, ledger_folder
from nerfstudio_hands.fleet.plan import Resources
from nerfstudio_hands.fleet.scratch import locked, remove_abandoned
from nerfstudio_hands.fleet.step import Step
from nerfstudio_hands.fleet.task import Task, versions
from nerfstudio_hands.fleet.worker import RECEIPT, RESULTS_FILE, WORK_FOLDER, read_receipt
from nerfstudio_hands.program.progress import say, track

MOST_LOSSES = 3
"""How often a step may lose its worker before it counts as failed: it may be what kills them, by its memory."""
DRIVER_FILE = "driver.json"
"""Beside results at a URL: who drives."""
EARLIER_FOLDER = "earlier"
"""Below results: what was made of captures before they changed."""
LOOKS = 16
"""Captures that are looked at side by side, because a network disk takes its time."""
LEASE_SECONDS = 180.0
"""After so long without a sign, a driver of results at a URL is taken for gone."""
TICK_SECONDS = 0.5

Watch = Callable[[Ledger, "Outcome | Started | None"], None]
"""Called with each event, and with None now and then."""


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

    def __init__(self, results: str, ledger: Ledger):
        """Takes the lease.

        Args:
            results: Folder or URL.
            ledger: Its lock is held, so that whoever drove by it before has ended, however that was.

        Raises:
            HandsError: Another driver is at work.
        """
        self._results, self._address = results, addresses.join(results, DRIVER_FILE)
        self._remote, self._last = addresses.is_url(results), 0.0
        if not self._remote:
            return
        self._me = ledger.fact("driver") or uuid.uuid4().hex
        ledger.state_fact("driver", self._me)
        other = self._other()
        if other and abs(time.time() - other["when"]) >= LEASE_SECONDS:
            # Gone, or its clock is wrong: then it gives a sign by ours.
            say(f"Looking whether the driver on {other.get('who')} is still at work ..")
            time.sleep(LEASE_SECONDS / 3)
            before, other = other, self._other()
            other = other if other != before else None
        if other:
            raise _already_driven(results, f"on {other.get('who')}")
        self._sign()

    def renew(self) -> None:
        """Says it again where it is time.

        Raises:
            HandsError: Another driver has come.
        """
        if self._remote and time.monotonic() - self._last > LEASE_SECONDS / 4:
            if other := self._other():
                raise _already_driven(self._results, f"on {other.get('who')}")
            self._sign()

    def end(self) -> None:
        """Gives the lease up, unless another driver has it."""
        if self._remote and not self._other():
            addresses.write_file(self._address, json.dumps({"driver": self._me, "who": "", "when": 0}).encode())

    def _sign(self) -> None:
        sign = {"driver": self._me, "who": socket.gethostname(), "when": time.time()}
        addresses.write_file(self._address, json.dumps(sign).encode())
        self._last = time.monotonic()

    def _other(self) -> dict[str, Any] | None:
        """The sign of another driver that has not given up."""
        try:
            sign = json.loads(addresses.read_file(self._address) or b"{}")
            return sign if sign["when"] > 0 and sign["driver"] != self._me else None
        except (ValueError, KeyError, TypeError):
            return None


@dataclass
class Results:
    """Results that this process may write to.

    Attributes:
        address: Folder or URL.
        identity: What workers know them by.
        ledger: What became of every step.
        lease: The sign that somebody drives.
    """

    address: str
    identity: str
    ledger: Ledger
    lease: Lease


@contextmanager
def opened_results(address: str) -> Iterator[Results]:
    """Some results, for the one driver that may write there.

    Raises:
        HandsError: Another driver is at work, or there is no place to write.
    """
    folder = ledger_folder(address)
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(locked(folder / ".driver.lock", wait=False))
            if lock is None:
                raise _already_driven(address, (folder / ".driver.lock").read_text())
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            identity = _identity(address, folder)
        except OSError as error:
            raise HandsError(
                f"{address}: expected a place for results, found '{error.strerror or error}'; give another one."
            ) from error
        ledger = Ledger(folder / LEDGER_FILE)
        stack.callback(ledger.close)
        lease = Lease(address, ledger)
        stack.callback(lease.end)
        yield Results(address, identity, ledger, lease)


@dataclass
class Driver:
    """The steps of a plan with their ledger.

    Attributes:
        steps: All steps, each after those that it needs.
        results: Where they lie, with their ledger.
        scratch: Folder on workers.
        resources: What each kind of step occupies.
        programs: Commands to run instead of those installed.
    """

    steps: list[Step]
    results: Results
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
        self._ledger, self._address = self.results.ledger, self.results.address
        self._contents: dict[str, str] = {}
        self._losses: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()

    def recover(self, *, retry: bool = False) -> list[str]:
        """Takes the steps into the ledger and sees what a driver that ended at any moment has left.

        A result with a receipt is done, whoever recorded it; what runs for nobody is to be done again; what is half
        made is removed. Steps of a capture whose files have changed are to be done again, and what they made before is
        set aside.

        Args:
            retry: Whether those that failed are to be tried again.

        Returns:
            Names of captures that have changed.

        Raises:
            HandsError: The ledger or a result is of another plan, or a capture cannot be looked at.
        """
        self._contents = _contents(self.steps)
        self._ledger.add(self.steps)
        local = not addresses.is_url(self._address)
        if local:
            remove_abandoned(Path(self._address) / WORK_FOLDER)
        new = self._ledger.fact("recovered") is None
        for row in self._ledger.rows():
            if local or new or row["state"] == "running":
                self._adopt(row)
            if row["state"] == "failed" and retry:
                self._ledger.wait(row["key"])
            self.results.lease.renew()
        changed = {}
        for row in self._ledger.rows():
            if row["state"] in ("done", "failed") and row["content"] != self._content(row["key"]):
                changed[row["capture"]] = None
                self._set_aside(row["key"])
        self._ledger.state_fact("recovered", str(time.time()))
        return list(changed)

    def _content(self, key: str) -> str:
        return self._contents[self._by_key[key].data]

    def _set_aside(self, key: str) -> None:
        """Moves the result of a step away, which is to be done again."""
        result = addresses.join(self._address, key)
        if addresses.exists(result):
            places = (addresses.join(self._address, EARLIER_FOLDER, f"{key}.{number}") for number in count(1))
            addresses.move(result, next(place for place in places if not addresses.exists(place)), first=RECEIPT)
        self._ledger.wait(key)

    def _adopt(self, row: sqlite3.Row) -> None:
        """One step, by the receipt among the results."""
        if row["state"] == "done" and not addresses.is_url(self._address):
            # Its content was read when it was recorded.
            if (Path(self._address) / row["key"] / RECEIPT).is_file():
                return
        receipt = read_receipt(self._address, row["key"])
        if receipt is not None and receipt[0] != row["inputs"]:
            raise HandsError(
                f"{self._address}/{row['key']}: expected the result of this plan, found one made with other options; "
                "give another results folder, or rename the capture or method."
            )
        if receipt is not None:
            self._ledger.end(receipt[1])
        elif row["state"] in ("running", "done"):
            self._ledger.wait(row["key"])

    def run(self, engine: Engine, watch: Watch) -> None:
        """Does all that can be done; returns when nothing runs and nothing can begin.

        Raises:
            HandsError: No step can be done, because workers are not such as the plan needs; or another driver came.
        """
        rows = self._ledger.rows()
        states = {row["key"]: row["state"] for row in rows}
        self._attempts = Counter({row["key"]: row["attempts"] for row in rows})
        done = {key for key, state in states.items() if state == "done"}
        ready = [
            self._place[step.key]
            for step in self.steps
            if states[step.key] == "waiting" and all(key in done for key in step.needs)
        ]
        heapq.heapify(ready)
        running = 0
        try:
            while ready or running:
                while ready and engine.has_room():
                    self._submit(engine, self.steps[heapq.heappop(ready)])
                    running += 1
                for event in engine.events(TICK_SECONDS):
                    if isinstance(event, HandsError):
                        raise event
                    if isinstance(event, Started):
                        self._ledger.started(event.key, event.host, event.when)
                    else:
                        running -= 1
                        for key in self._end(event, done):
                            heapq.heappush(ready, self._place[key])
                    watch(self._ledger, event)
                self.results.lease.renew()
                watch(self._ledger, None)
        finally:
            engine.close()
            self._let_go()

    def _submit(self, engine: Engine, step: Step) -> None:
        self._attempts[step.key] += 1
        self._ledger.begin(step.key, self._attempts[step.key])
        task = Task(
            step=step,
            results=self._address,
            results_id=self.results.identity,
            scratch=self.scratch,
            version=versions()["nerfstudio-hands"],
            content=self._content(step.key),
            attempt=self._attempts[step.key],
            programs=self.programs,
        )
        engine.submit(task, self.resources.get(step.step, Resources(gpus=0 if step.step == "fit" else None)))

    def _end(self, outcome: Outcome, done: set[str]) -> list[str]:
        """Writes down how a step ended; the steps that can begin by that."""
        outcome.content = outcome.content or self._content(outcome.key)
        if outcome.state == "lost":
            self._losses[outcome.key] += 1
            if self._losses[outcome.key] < MOST_LOSSES:
                self._ledger.wait(outcome.key, outcome.sentence)
                return [outcome.key]
            outcome.state = "failed"
            outcome.sentence = f"lost {MOST_LOSSES} times, perhaps for want of memory: {outcome.sentence}"
        self._ledger.end(outcome)
        if outcome.state != "done":
            return []
        done.add(outcome.key)
        return [key for key in self._after[outcome.key] if all(need in done for need in self._by_key[key].needs)]

    def _let_go(self) -> None:
        """What was handed out and did not end is to be done again."""
        for row in self._ledger.rows("running"):
            self._ledger.wait(row["key"])


def _contents(steps: list[Step]) -> dict[str, str]:
    """Digests of all captures' files, by address."""
    places = list(dict.fromkeys(step.data for step in steps))
    with ThreadPoolExecutor(LOOKS) as pool:
        found = pool.map(addresses.content_digest, places)
        return dict(zip(places, track(found, "Looking at captures", len(places)), strict=True))
