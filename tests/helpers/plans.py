"""Plans of tiny captures whose steps are done by a few lines of Python instead of by nerfstudio."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nerfstudio_hands.fleet.driver import Driver, opened_results
from nerfstudio_hands.fleet.engines import Engine, LocalEngine
from nerfstudio_hands.fleet.graph import make_steps
from nerfstudio_hands.fleet.plan import Plan, make_plan

STANDS_IN = """
import json, os, pathlib, sys, time
program, words = sys.argv[1], sys.argv[2:]
option = lambda name: pathlib.Path(words[words.index(name) + 1])
time.sleep(float(os.environ.get("STEP_SECONDS", 0)))
if program == "ns-hands" and words[0] == "fit":
    capture = pathlib.Path(words[1])
    if (capture / ".broken").exists():
        sys.exit(f"error: {capture.name}: expected hands, found none; leave it out.")
    cache = pathlib.Path(os.environ["NERFSTUDIO_HANDS_CACHE"])
    cache.mkdir()
    (cache / "fit.npz").write_text((capture / "hand").read_text())
elif program == "ns-train":
    fit = pathlib.Path(os.environ["NERFSTUDIO_HANDS_CACHE"]) / "fit.npz"
    run = option("--output-dir") / "run" / words[0] / "run"
    run.mkdir(parents=True)
    (run / "weights").write_text(fit.read_text() if fit.exists() else (option("--data") / "hand").read_text())
    (run / "config.yml").write_text(words[0])
elif program == "ns-eval":
    weights = (option("--load-config").parent / "weights").read_text()
    option("--output-path").write_text(json.dumps({"results": {"hand_psnr": float(weights), "mask_iou": 0.5}}))
else:
    option("--output-dir").mkdir()
    (option("--output-dir") / "hands.glb").write_text(option("--load-config").read_text())
"""
"""A hand is a number in a file, and so is the avatar of it."""


def stand_ins(folder: Path) -> dict[str, tuple[str, ...]]:
    """Programs that do what those of nerfstudio and this project do, in no time."""
    script = folder / "stands_in.py"
    script.write_text(STANDS_IN)
    return {name: (sys.executable, "-I", "-S", str(script), name) for name in ("ns-hands", "ns-train", "ns-eval")}


def make_captures(folder: Path, count: int) -> list[str]:
    """Folders of captures; the hand of each is its number and a half."""
    for number in range(count):
        (folder / f"take{number}").mkdir(parents=True)
        (folder / f"take{number}" / "hand").write_text(f"{number}.5")
    return [str(folder / f"take{number}") for number in range(count)]


def plan_of(captures: list[Any], results: Path | str, **entries: Any) -> Plan:
    """A plan as its YAML would give it."""
    content = {"results": str(results), "captures": captures, "methods": ["hand-uvnerf"], **entries}
    return make_plan(content, base=Path.cwd(), source="plan.yaml")


def carry_out(
    plan: Plan, folder: Path, engine: Engine | None = None, *, retry: bool = False, programs: dict | None = None
) -> dict[str, dict[str, Any]]:
    """Does what is left of a plan; the ledger's rows by the steps' keys."""
    with opened_results(plan.results) as results:
        programs = stand_ins(folder) if programs is None else programs
        driver = Driver(make_steps(plan), results, folder / "scratch", plan.resources, programs)
        driver.recover(retry=retry)
        driver.run(engine or LocalEngine(2), lambda *_: None)
        return {row["key"]: dict(row) for row in results.ledger.rows()}


def figures(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What was measured of each capture that was evaluated."""
    return {key: json.loads(row["figures"]) for key, row in rows.items() if row["step"] == "eval" and row["figures"]}
