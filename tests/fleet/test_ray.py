"""The same steps by Ray, on this machine's loopback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from helpers.plans import carry_out, figures, make_captures, plan_of

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet import ray_engine
from nerfstudio_hands.fleet.ledger import Outcome
from nerfstudio_hands.fleet.ray_engine import RayEngine
from nerfstudio_hands.fleet.task import Task
from nerfstudio_hands.fleet.worker import WrongWorker, run_step


@pytest.fixture(scope="module")
def few_imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray's eight processes each read the grammar of addresses in most of the time that they take to start, for
    jsonschema, which does without where that package is not installed."""
    folder = tmp_path_factory.mktemp("missing")
    (folder / "rfc3987_syntax.py").write_text("raise ImportError('not installed')")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module", autouse=True)
def ray(few_imports: None) -> Iterator[ModuleType]:
    """The library, imported by who runs these tests, with a cluster for all of them, of which each takes part as a
    driver of its own would."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'nerfstudio-hands[fleet]'")
    # Workers do not import tests.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    for _ in range(2):
        try:
            start(ray)
            break
        # Ray gives itself half a minute, and then raises no more than that.
        except Exception as error:
            ray.shutdown()
            reason = str(error)
    else:
        pytest.skip(f"Ray did not start, twice: {reason}")
    yield ray
    ray.shutdown()


def start(ray: ModuleType) -> None:
    ray.init(
        address="local", num_cpus=2, _node_ip_address="127.0.0.1", include_dashboard=False, log_to_driver=False,
        logging_level="ERROR", object_store_memory=80 * 2**20,
    )  # fmt: skip


class Joined(RayEngine):
    """Takes the cluster that there is, and leaves it there."""

    def __init__(self, work=run_step):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ray.init", lambda **_: None)
            super().__init__("local", workers=2, work=work)

    def close(self) -> None:
        pass


def killed_once(task: Task, marks: Path, **told) -> Outcome:
    """A step whose worker is killed the first time, as a node that is lost would."""
    if task.step.step == "train" and not (marks / task.step.capture).exists():
        (marks / task.step.capture).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return run_step(task, **told)


def wrong(task: Task, **told) -> Outcome:
    raise WrongWorker("worker on far: expected nerfstudio-hands 2, found 1; install the same on both.")


def test_ray_gives_what_processes_give_though_workers_are_killed(tmp_path: Path):
    captures = make_captures(tmp_path / "takes", 1)
    here = carry_out(plan_of(captures, tmp_path / "here"), tmp_path)
    (tmp_path / "marks").mkdir()
    plan = plan_of(
        captures, tmp_path / "out", resources={"train": {"cpus": 2, "memory_gb": 0.1}, "eval": {"cpus": 0.5}}
    )
    engine = Joined(partial(killed_once, marks=tmp_path / "marks"))
    rows = carry_out(plan, tmp_path, engine)
    assert {row["state"] for row in rows.values()} == {"done"}
    assert figures(rows) == figures(here)
    assert rows["take0/hand-uvnerf/train"]["attempts"] == 2
    assert rows["take0/fit"]["host"] == here["take0/fit"]["host"]


def test_what_no_worker_can_do_ends_the_batch(tmp_path: Path):
    plan = plan_of(make_captures(tmp_path / "takes", 1), tmp_path / "out")
    with pytest.raises(HandsError, match="expected nerfstudio-hands 2, found 1"):
        carry_out(plan, tmp_path, Joined(wrong))


def test_a_board_that_is_lost_is_made_again(ray: ModuleType, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ray_engine, "BOARD_SECONDS", 0.0)
    plan, engine = plan_of(make_captures(tmp_path / "takes", 1), tmp_path / "out"), Joined()
    first = engine._board
    ray.kill(first)
    assert {row["state"] for row in carry_out(plan, tmp_path, engine).values()} == {"done"}
    assert engine._board is not first


def test_a_machine_that_is_too_slow_for_ray_at_first(monkeypatch):
    tries = []

    def start(**options):
        tries.append(options["num_cpus"])
        if len(tries) < 3:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("ray.init", start)
    assert RayEngine("local", workers=2).has_room() and tries == [2, 2, 2]


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1"])
def test_no_cluster_at_an_address(address: str, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)

    def refuse(**options):
        raise ConnectionError(f"nothing at {options['address']}")

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(HandsError, match=f"--address {address}: expected a Ray cluster, found 'nothing at"):
        RayEngine(address)
