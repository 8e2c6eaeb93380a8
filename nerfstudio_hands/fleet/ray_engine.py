"""Steps on a cluster, or on this machine, by Ray Core: an open-source scheduler of tasks with resources.

What Ray sends between its processes are Python objects of ours; its ports are for networks that one trusts.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet.engines import Event, Started, Work
from nerfstudio_hands.fleet.ledger import Outcome
from nerfstudio_hands.fleet.plan import Resources
from nerfstudio_hands.fleet.task import Task
from nerfstudio_hands.fleet.worker import run_step

MOST_PENDING = 1000
"""Tasks that Ray has at once: enough for an autoscaler to see what is wanted, few enough to stop soon."""
LOCAL_STARTS = 3
"""Tries to start Ray here, to which it gives half a minute each, however busy the machine is."""
BOARD_SECONDS = 1.0
"""Between two questions as to which tasks have begun."""


class RayEngine:
    """Ray decides where a task runs, by the CPUs, GPUs and memory that it wants."""

    def __init__(self, address: str, *, workers: int | None = None, work: Work = run_step):
        """Connects to a cluster.

        Args:
            address: "auto" for the cluster that this machine is part of, "ray://host:port", or "local" for one of this
                machine alone that ends with this process.
            workers: Cores of a local one.
            work: What does a task.

        Raises:
            HandsError: Ray is not installed, or nothing answers there.
        """
        self._ray = ray = _import_ray()
        # Where the user has not said anything, nothing is reported to Ray's makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local = {"num_cpus": workers, "_node_ip_address": "127.0.0.1"} if address == "local" else {}
        for left in reversed(range(LOCAL_STARTS if local else 1)):
            try:
                context = ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
                break
            # Ray raises exceptions of every kind, among them `Exception` itself where a machine is too slow.
            except Exception as error:
                if left == 0:
                    raise HandsError(
                        f"--address {address}: expected a Ray cluster, found '{_one_line(error)}'; start one (`ray "
                        "start --head`), correct the address, or leave it out to use this machine alone."
                    ) from error
                ray.shutdown()
        link = getattr(context, "dashboard_url", None)
        self.description = f"Ray at {address}" + (f", http://{link}" if link else "")
        self._has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        self._keys: dict[Any, str] = {}
        self._board = self._new_board()
        self._asked = time.monotonic()
        self._task, self._work = ray.remote(max_retries=0)(_do), work

    def has_room(self) -> bool:
        return len(self._keys) < MOST_PENDING

    def submit(self, task: Task, needs: Resources) -> None:
        cpus = 1 if needs.cpus is None else needs.cpus
        gpus = (1 if self._has_gpus else 0) if needs.gpus is None else needs.gpus
        memory = {"memory": int(needs.memory_gb * 2**30)} if needs.memory_gb else {}
        wanted = self._task.options(num_cpus=cpus, num_gpus=gpus, name=task.step.key, **memory)
        self._keys[wanted.remote(self._work, replace(task, cpus=cpus), self._board)] = task.step.key

    def events(self, seconds: float) -> list[Event]:
        ready, _ = self._ray.wait(list(self._keys), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(list(self._keys), num_returns=len(self._keys), timeout=0)
        begun = self._begun()
        return [*begun, *(self._ended(reference) for reference in ready)]

    def close(self) -> None:
        self._ray.shutdown()

    def _new_board(self) -> Any:
        return self._ray.remote(num_cpus=0)(_Board).remote()

    def _begun(self) -> list[Event]:
        if time.monotonic() - self._asked < BOARD_SECONDS:
            return []
        self._asked = time.monotonic()
        running = set(self._keys.values())
        try:
            return [Started(*row) for row in self._ray.get(self._board.take.remote()) if row[0] in running]
        except self._ray.exceptions.RayActorError:
            # Its process or node is gone; where a running task is stays unknown until it ends.
            self._board = self._new_board()
            return []

    def _ended(self, reference: Any) -> Event:
        """What became of a task; of one whose worker or node is gone, that it is lost."""
        key = self._keys.pop(reference)
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, HandsError):
                return cause
            if isinstance(cause, ImportError):
                return HandsError(
                    f"a worker: expected nerfstudio-hands and what it needs, found '{cause}'; install it."
                )
            return Outcome(key, "failed", sentence=f"{type(cause).__name__}: {_one_line(cause)}")
        except exceptions.RayError as error:
            return Outcome(key, "lost", exit=-9, sentence=f"its worker is gone: {_one_line(error)[:300]}")


class _Board:
    """An actor on which tasks say that they have begun."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, float]] = []

    def put(self, key: str, host: str, when: float) -> None:
        self._rows.append((key, host, when))

    def take(self) -> list[tuple[str, str, float]]:
        rows, self._rows = self._rows, []
        return rows


def _do(work: Work, task: Task, board: Any) -> Outcome:
    """On a worker."""
    return work(task, started=lambda host, when: board.put.remote(task.step.key, host, when))


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise HandsError(
            "--address: expected Ray to be installed, found that it is not; `pip install 'nerfstudio-hands[fleet]'`, "
            "or leave the option out to use this machine alone."
        ) from error
    return ray


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
