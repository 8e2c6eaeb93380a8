"""Looks at the methods and options of a plan with the parsers of the commands that get them, before anything starts."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Callable
from typing import Any

import tyro

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.fleet.plan import Plan, PlannedCapture, PlannedMethod, words
from nerfstudio_hands.program.option_range import check_ranges

_RULE = re.compile(r"^[\s│|╭╰]*[-─]{10,}")


def check_methods(plan: Plan) -> None:
    """Refuse methods, data parsers and options that `ns-train` does not take, or whose numbers are out of range.

    Imports nerfstudio with all of its methods, as `ns-train` does.

    Raises:
        HandsError: There is one; it is named.
    """
    from nerfstudio.configs.method_configs import all_methods

    from nerfstudio_hands.training.trainer import HandTrainerConfig

    known = sorted(name for name, config in all_methods.items() if isinstance(config, HandTrainerConfig))
    for method in plan.methods:
        if method.method not in known:
            raise HandsError(f"methods: expected one of {', '.join(known)}, found '{method.method}'; correct the name.")
        kind = tyro.conf.SuppressFixed[tyro.conf.FlagConversionOff[HandTrainerConfig]]
        given = words(method.options, flags=False)
        config = parsed(kind, given, f"ns-train {method.method}", default=all_methods[method.method])
        _named(lambda config=config: check_ranges(config), f"ns-train {method.method}")
    _check_data(plan)


def method_words(method: PlannedMethod) -> list[str]:
    """What follows `ns-train` of a method alone."""
    return [method.method, *words(method.options, flags=False)]


def _check_data(plan: Plan) -> None:
    """Options of data parsers, each once however many captures have them."""
    from nerfstudio.plugins.registry_dataparser import discover_dataparsers

    from nerfstudio_hands.dataparsers.hands_dataparser import HandsDataParserConfig

    parsers = {
        name: config for name, config in discover_dataparsers()[0].items() if isinstance(config, HandsDataParserConfig)
    }
    checked = set()
    for capture in plan.captures:
        given = (capture.parser, *words(capture.options, flags=False))
        if given in checked:
            continue
        checked.add(given)
        if capture.parser not in parsers:
            raise HandsError(
                f"{capture.name}: expected one of the data parsers {', '.join(sorted(parsers))}, found "
                f"'{capture.parser}'; correct 'parser'."
            )
        kind = tyro.conf.FlagConversionOff[type(parsers[capture.parser])]
        command = f"{capture.parser}, for the capture {capture.name}"
        config = parsed(kind, list(given[1:]), command)
        _named(lambda config=config: (check_ranges(config), config.resolved()), command)


def check_command(command: Callable[..., None], given: list[str], name: str) -> None:
    """Refuse options that a command of ours does not take.

    Args:
        command: The function of the command.
        given: Words of its command line.
        name: What a sentence calls it.

    Raises:
        HandsError: There is one; it is named.
    """

    @functools.wraps(command)
    def noted(*arguments: Any, **options: Any) -> dict[str, Any]:
        return options

    options = parsed(noted, given, name)
    _named(lambda: check_ranges(options), name)


def fit_words(capture: PlannedCapture, plan: Plan) -> list[str]:
    """Options of `ns-hands fit`: its own of the plan, and those that it shares with the data parser."""
    from dataclasses import fields

    from nerfstudio_hands.captures.capture_options import InterHandOptions

    shared = {field.name.replace("_", "-") for field in fields(InterHandOptions)} | {"hand"}
    both = {name: value for name, value in capture.options.items() if name in shared} | dict(plan.fit)
    return words(both, flags=True)


def parsed(kind: Any, given: list[str], command: str, *, default: Any = tyro.MISSING_NONPROP) -> Any:
    """What tyro makes of words.

    Args:
        kind: What it is to make.
        given: The words.
        command: What gets them.
        default: What it is without any words.

    Raises:
        HandsError: They are not those of such a thing; with tyro's own reason and what comes nearest.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            return tyro.cli(kind, args=given, default=default)
    except SystemExit as error:
        raise HandsError(f"{command}: expected its options, found {_reason(printed.getvalue())}") from error


def _reason(printed: str) -> str:
    """tyro's sentence out of its box, and the nearest option."""
    if printed.startswith("usage:"):
        return "a question for help; leave it out."
    blocks: list[list[str]] = [[]]
    for line in printed.splitlines():
        if _RULE.match(line):
            blocks.append([])
        else:
            blocks[-1].append(line.strip(" │|"))
    sentences = [" ".join(" ".join(block).split()) for block in blocks]
    reason = next((text for text in sentences[1:] if text), sentences[0])
    nearest = re.search(r"Perhaps you meant:? *(--[\w.-]+)", " ".join(sentences))
    return f"this: {reason}; " + (f"perhaps {nearest[1]} is meant." if nearest else "see its --help.")


def _named(check: Callable[[], Any], command: str) -> None:
    """Runs a check whose sentence then says for which command it is."""
    try:
        check()
    except HandsError as error:
        raise HandsError(f"{command}: {error}") from error
