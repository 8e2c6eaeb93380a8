"""`ns-hands batch`: avatars of many captures, on this machine or on a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import tyro

from nerfstudio_hands.cli.batch_status import print_status
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.environment import quieten_imports
from nerfstudio_hands.program.option_range import require_range
from nerfstudio_hands.program.progress import say

MOST_WORKERS = 1024


def batch(
    plan: Annotated[tuple[str, ...], tyro.conf.Positional],
    *,
    results: Optional[str] = None,
    method: tuple[str, ...] = ("hand-uvnerf",),
    steps: tuple[Literal["fit", "train", "eval", "export"], ...] = ("fit", "train", "eval", "export"),
    parser: str = "hands-data",
    data_options: tuple[str, ...] = (),
    train_options: tuple[str, ...] = (),
    export_options: tuple[str, ...] = (),
    workers: int = 1,
    address: Optional[str] = None,
    scratch: Optional[Path] = None,
    retry: bool = False,
    check: bool = False,
) -> None:
    """Fit, train, evaluate and export many captures; what is done is not done again.

    `ns-hands batch PLAN.yaml` carries out a plan (docs/fleet.md), `ns-hands batch CAPTURE .. --results RESULTS` makes
    one of folders, patterns such as 'takes/*/1' and URLs. `ns-hands batch status RESULTS` tells how far one has come.
    Stop it at any moment and give the same command again: it goes on. At the end results.csv, results.md and a sheet
    of held-out pictures lie beside the results.

    Args:
        plan: A plan (.yaml), or captures: folders, patterns or URLs; or the word `status` and results.
        results: Folder or URL for the results of captures; a plan names its own.
        method: Methods of ns-train, of captures.
        steps: What is done, of captures.
        parser: Data parser that reads them, of captures.
        data_options: Options of the data parser as NAME=VALUE, of captures.
        train_options: Options of ns-train as NAME=VALUE, of captures.
        export_options: Options of `ns-hands export` as NAME=VALUE, of captures.
        workers: Steps at a time on this machine, 1 to 1024; with --address local, cores of its Ray.
        address: Run on Ray: `auto` for the cluster that this machine is part of, ray://HOST:PORT, or `local`.
        scratch: Folder on each worker for copies of captures and for what is half made; by default among the temporary
            ones.
        retry: Try the steps that failed again.
        check: Look at the plan alone, and say what would be done.
    """
    if plan[:1] == ("status",):
        print_status(list(plan[1:]))
        return
    require_range("--workers", workers, 1, MOST_WORKERS)
    from nerfstudio_hands.fleet.plan import make_plan, read_plan

    if len(plan) == 1 and plan[0].endswith((".yaml", ".yml")):
        if results is not None:
            raise HandsError("--results: expected captures with it, found a plan, which names its own; leave it out.")
        asked = read_plan(Path(plan[0]).expanduser())
    else:
        if results is None:
            raise HandsError(
                "--results: expected a folder or URL for the results of these captures, found none; add it."
            )
        content = {
            "results": results,
            "captures": list(plan),
            "steps": list(steps),
            "methods": list(method),
            "parser": parser,
            "data": _options(data_options, "--data-options"),
            "train": _options(train_options, "--train-options"),
            "export": _options(export_options, "--export-options"),
        }
        asked = make_plan(content, base=Path.cwd(), source="ns-hands batch")
    _carry_out(asked, workers=workers, address=address, scratch=scratch, retry=retry, check=check)


def _options(given: tuple[str, ...], option: str) -> dict[str, Any]:
    """NAME=VALUE .. with values as YAML has them."""
    import yaml

    found = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise HandsError(f"{option}: expected NAME=VALUE, found '{word}'; write it so.")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise HandsError(f"{option}: expected a value in YAML for {name}, found '{value}'; quote it.") from error
    return found


def _carry_out(asked, *, workers, address, scratch, retry, check) -> None:
    """Checks a plan, does what is left of it and writes the report."""
    from nerfstudio_hands.fleet.addresses import join
    from nerfstudio_hands.fleet.board import Board
    from nerfstudio_hands.fleet.driver import EARLIER_FOLDER, Driver, opened_results
    from nerfstudio_hands.fleet.graph import make_steps
    from nerfstudio_hands.fleet.report import write_report
    from nerfstudio_hands.fleet.status import Progress
    from nerfstudio_hands.fleet.task import default_scratch

    made = make_steps(asked)
    say(f"{len(asked.captures)} captures, {len(made)} steps; results in {asked.results}")
    if check:
        _check_plan(asked)
        say("The plan can be carried out.")
        return
    with opened_results(asked.results) as results:
        ledger = results.ledger
        driver = Driver(made, results, scratch or default_scratch(), asked.resources)
        for name in driver.recover(retry=retry):
            earlier = join(asked.results, EARLIER_FOLDER)
            say(f"{name} has changed since it was done: it is done again. What was made of it before is in {earlier}")
        _check_once(asked, ledger)
        if ledger.rows("waiting"):
            engine = _engine(address, workers)
            with Board(engine.description) as board:
                driver.run(engine, board)
        say(Progress.of(ledger).sentence())
        for row in ledger.rows("failed"):
            say(f"{row['key']}: {row['sentence']} (log: {row['log']})")
        for written in write_report(ledger, asked.results):
            say(f"Wrote {written}")
        failed = len(ledger.rows("failed"))
    if failed:
        raise HandsError(
            f"{asked.results}: expected all steps to end well, found {failed} that failed; see above, and try them "
            "again with --retry."
        )


def _check_once(asked, ledger) -> None:
    """Looks at methods and options with the commands' own parsers, unless this version has done so for these steps."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    from nerfstudio_hands.fleet.addresses import short_digest
    from nerfstudio_hands.fleet.task import versions

    told = json.dumps([sorted({row["inputs"] for row in ledger.rows()}), versions()], sort_keys=True)
    if ledger.fact("checked") != short_digest(told):
        # In a process of its own: nerfstudio would stay in the memory of this one, which may run for days.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            try:
                other.submit(_check_plan, asked).result()
            except BrokenProcessPool as error:
                raise HandsError(
                    "ns-hands batch: expected to look at methods and options, found that the process that does so was "
                    "killed, perhaps for want of memory; start again."
                ) from error
        ledger.state_fact("checked", short_digest(told))


def _check_plan(asked) -> None:
    from nerfstudio_hands.cli.export import export
    from nerfstudio_hands.cli.fit import fit
    from nerfstudio_hands.fleet.plan import words
    from nerfstudio_hands.fleet.plan_options import check_command, check_methods, fit_words

    quieten_imports()
    say("Looking at methods and options ..")
    if "fit" in asked.steps:
        for given in {tuple(fit_words(capture, asked)) for capture in asked.captures}:
            check_command(fit, ["CAPTURE", *given], "ns-hands fit")
    if "export" in asked.steps:
        given = ["--load-config", "CONFIG", "--output-dir", "OUT", *words(asked.export, flags=True)]
        check_command(export, given, "ns-hands export")
    check_methods(asked)


def _engine(address: str | None, workers: int):
    if address is not None:
        from nerfstudio_hands.fleet.ray_engine import RayEngine

        return RayEngine(address, workers=workers)
    from nerfstudio_hands.fleet.engines import LocalEngine, visible_gpus

    return LocalEngine(workers, gpus=visible_gpus())
