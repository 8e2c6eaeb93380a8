"""The steps of a plan: what each runs, what it needs and what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict

from nerfstudio_hands.fleet.plan import Plan, PlannedCapture, PlannedMethod, words
from nerfstudio_hands.fleet.plan_options import fit_words, method_words
from nerfstudio_hands.fleet.step import Step


def make_steps(plan: Plan) -> list[Step]:
    """All steps, capture by capture, each after those that it needs."""
    found: dict[str, Step] = {}
    for capture in plan.captures:
        for step in _steps_of(plan, capture):
            found[step.key] = _with_inputs(step, found)
    return list(found.values())


def _steps_of(plan: Plan, capture: PlannedCapture) -> Iterator[Step]:
    fit: tuple[str, ...] = ()
    if "fit" in plan.steps:
        fit = (f"{capture.name}/fit",)
        yield Step(fit[0], capture.name, "", "fit", capture.data, tuple(fit_words(capture, plan)))
    for method in plan.methods:
        yield from _steps_of_method(plan, capture, method, fit)


def _steps_of_method(
    plan: Plan, capture: PlannedCapture, method: PlannedMethod, fit: tuple[str, ...]
) -> Iterator[Step]:
    folder = f"{capture.name}/{method.name}"
    training = (*method_words(method), "--", capture.parser, *words(capture.options, flags=False))
    commands = {"train": training, "eval": (), "export": tuple(words(plan.export, flags=True))}
    for step in plan.steps:
        if step != "fit":
            needs = fit if step == "train" else (f"{folder}/train",)
            yield Step(f"{folder}/{step}", capture.name, method.name, step, capture.data, commands[step], needs)


def _with_inputs(step: Step, before: dict[str, Step]) -> Step:
    content = {**asdict(step), "needs": [before[key].inputs for key in step.needs]}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return Step(**{**vars(step), "inputs": digest})
