"""Where steps run: an engine takes tasks and says what becomes of them. This one runs them on this machine."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Union

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet.ledger import Outcome
from nerfstudio_hands.fleet.plan import Resources
from nerfstudio_hands.fleet.task import Task
from nerfstudio_hands.fleet.worker import Stopped, run_step

Work = Callable[..., Outcome]
"""`run_step`, or what a benchmark puts in its place."""


@dataclass(frozen=True)
class Started:
    """A worker has begun with a step.

    Attributes:
        key: The step's.
        host: The machine.
        when: Seconds since 1970.
    """

    key: str
    host: str
    when: float


Event = Union[Started, Outcome, HandsError]
"""What an engine says: that a step has begun or ended, or why no step can be done at all."""


class Engine(Protocol):
    """Runs tasks side by side."""

    description: str
    """What it is, with an address to look at where there is one."""

    def has_room(self) -> bool:
        """Whether one more task would begin soon."""
        ...

    def submit(self, task: Task, needs: Resources) -> None:
        """Takes a task."""
        ...

    def events(self, seconds: float) -> list[Event]:
        """What has happened since the last call; waits so long for something."""
        ...

    def close(self) -> None:
        """Ends what still runs."""
        ...


class LocalEngine:
    """Some steps at a time on this machine, a process each. It counts processes and GPUs, neither cores nor memory."""

    def __init__(self, workers: int, *, gpus: list[str] | None = None, work: Work = run_step):
        self.description = f"{workers} at a time on this machine"
        self._workers, self._work, self._running = workers, work, 0
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="step")
        self._gpus: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._has_gpus = bool(gpus)
        for gpu in gpus or ():
            self._gpus.put(gpu)

    def has_room(self) -> bool:
        return self._running < self._workers

    def submit(self, task: Task, needs: Resources) -> None:
        self._running += 1
        cpus = needs.cpus or max(1, (os.cpu_count() or 1) // self._workers)
        self._pool.submit(self._do, replace(task, cpus=cpus), needs)

    def events(self, seconds: float) -> list[Event]:
        found: list[Event] = []
        try:
            found.append(self._events.get(timeout=seconds))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            self._running -= sum(not isinstance(event, Started) for event in found)
            return found

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _do(self, task: Task, needs: Resources) -> None:
        """In a thread: whatever happens becomes an event."""
        wants_gpu = self._has_gpus and (needs.gpus is None or needs.gpus > 0)
        gpu = self._gpus.get() if wants_gpu else None
        if gpu is not None:
            task = replace(task, environment={**task.environment, "CUDA_VISIBLE_DEVICES": gpu})
        try:
            begun = lambda host, when: self._events.put(Started(task.step.key, host, when))  # noqa: E731
            self._events.put(self._work(task, started=begun, stop=self._stop))
        except HandsError as error:
            self._events.put(error)
        except Stopped:
            pass
        except Exception as error:  # A fault of ours fails its step, not the batch.
            self._events.put(Outcome(task.step.key, "failed", sentence=f"{type(error).__name__}: {error}"))
        finally:
            if gpu is not None:
                self._gpus.put(gpu)


def visible_gpus() -> list[str]:
    """GPUs of this machine by their numbers, found without PyTorch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    cards = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(cards.iterdir())))] if cards.is_dir() else []
