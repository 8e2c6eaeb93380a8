"""What a fleet is to do: captures, methods, steps and their options, read from a YAML file."""

from __future__ import annotations

import dataclasses
import glob
import re
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import yaml

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_text
from nerfstudio_hands.fleet.addresses import has_pattern, is_url, matches, settled
from nerfstudio_hands.fleet.step import NEEDS, STEPS

Value = Union[None, bool, int, float, str, tuple]
Options = Mapping[str, Value]
"""Options by their names as typed, without the dashes before them."""

PATH_OPTIONS = ("hand-model", "track", "pose")
"""Options that name files; relative ones begin at the plan's folder."""
KEYS = ("results", "captures", "steps", "parser", "data", "fit", "train", "methods", "export", "resources")
RESERVED = (
    "data", "output", "output-dir", "experiment-name", "timestamp", "load-dir", "load-step", "load-checkpoint",
    "load-config", "vis",
)  # fmt: skip
"""Options that say where a step reads and writes."""
TAKEN_NAMES = (
    "logs", "earlier", "ledger.sqlite", "fleet.json", "driver.json", "results.csv", "results.md", "held_out.jpg",
)  # fmt: skip
"""What lies beside the folders of captures."""
MAX_PLAN_BYTES = 20_000_000
"""Ten thousand captures take one."""


@dataclass(frozen=True)
class Resources:
    """What one step occupies.

    Attributes:
        cpus: Cores; a step's libraries get as many threads.
        gpus: Devices, or a share of one; None is one where there are any.
        memory_gb: Memory that Ray sets aside; 0 for none.
    """

    cpus: float | None = None
    gpus: float | None = None
    memory_gb: float = 0


@dataclass(frozen=True)
class PlannedCapture:
    """A capture.

    Attributes:
        name: Of its folder among the results.
        data: Absolute path or URL.
        parser: nerfstudio's name of the data parser that reads it.
        options: Of the data parser; the fit has those of them that it knows.
    """

    name: str
    data: str
    parser: str
    options: Options


@dataclass(frozen=True)
class PlannedMethod:
    """A row of the tables: a method with options.

    Attributes:
        name: Of its folder in that of each capture.
        method: As `ns-train` calls it.
        options: Of `ns-train`.
    """

    name: str
    method: str
    options: Options


@dataclass(frozen=True)
class Plan:
    """What is to be done of which captures, and where results go."""

    results: str
    captures: tuple[PlannedCapture, ...]
    methods: tuple[PlannedMethod, ...]
    steps: tuple[str, ...] = STEPS
    fit: Options = field(default_factory=dict)
    export: Options = field(default_factory=dict)
    resources: Mapping[str, Resources] = field(default_factory=dict)


def read_plan(path: Path) -> Plan:
    """The plan in a YAML file; relative paths begin at its folder.

    Raises:
        HandsError: There is no such file, or it is no plan that can be carried out.
    """
    try:
        text = read_text(path)
        if len(text) > MAX_PLAN_BYTES:
            raise UnreadableFile(f"{len(text)} characters")
        content = yaml.load(text, Loader=_PlanLoader)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected a plan in YAML, found {error}; check the path.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise HandsError(
            f"{path}: expected a plan in YAML, found what is none ({' '.join(str(error).split())}); correct it."
        ) from error
    return make_plan(content, base=path.absolute().parent, source=str(path))


def make_plan(content: Any, *, base: Path, source: str) -> Plan:
    """A plan from what its YAML holds.

    Args:
        content: Mapping of `KEYS`.
        base: Folder that relative paths begin at.
        source: What a sentence names: the file, or the command.

    Raises:
        HandsError: An entry is missing, unknown or of another kind; captures of one name or twice the same; a capture
            that is not there.
    """
    reader = _Reader(source, base)
    content = reader.mapping(content, "the plan", KEYS)
    if not isinstance(content.get("results"), str) or not content["results"]:
        raise reader.fault("'results'", "a folder or URL", content.get("results"))
    steps = _steps(reader, content.get("steps", list(STEPS)))
    common = reader.options(content.get("train"), "train")
    data = reader.options(content.get("data"), "data")
    plan = Plan(
        results=settled(content["results"], base),
        captures=_captures(reader, content.get("captures"), base, content.get("parser", "hands-data"), data),
        methods=_methods(reader, content.get("methods"), common) if set(steps) - {"fit"} else (),
        steps=steps,
        fit=reader.options(content.get("fit"), "fit"),
        export=reader.options(content.get("export"), "export"),
        resources=_resources(reader, content.get("resources")),
    )
    _check_apart(plan, source)
    return plan


def words(options: Options, *, flags: bool) -> list[str]:
    """Options as words of a command line.

    Args:
        options: The options.
        flags: Whether a yes or no is said by the name alone, as `ns-hands` has it and `ns-train` has not.
    """
    found: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool) and flags:
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", *map(str, value if isinstance(value, tuple) else (value,))]
    return found


class _PlanLoader(yaml.SafeLoader):
    """Plain YAML without merge keys, of which a few lines can fill the memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leaves them as they are, so that they are refused as any unknown entry."""


class _Reader:
    """Looks at entries of a plan and says what is wrong with them."""

    def __init__(self, source: str, base: Path):
        self.source, self.base = source, base

    def fault(self, where: str, expected: str, found: Any) -> HandsError:
        return HandsError(f"{self.source}: expected {expected} as {where}, found {reprlib.repr(found)}; correct it.")

    def mapping(self, value: Any, where: str, keys: Sequence[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fault(where, f"entries of {', '.join(keys)}", value)
        unknown = [key for key in value if key not in keys]
        if unknown:
            raise self.fault(f"an entry of {where}", f"one of {', '.join(keys)}", unknown[0])
        return value

    def name(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"\w[\w.+-]{0,99}", value):
            raise self.fault(where, "a name of letters, digits, '-', '_' and '.'", value)
        return value

    def options(self, value: Any, where: str) -> dict[str, Value]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fault(f"'{where}'", "options with their values", value)
        return dict(self._option(name, given, where) for name, given in value.items())

    def _option(self, name: Any, value: Any, where: str) -> tuple[str, Value]:
        if not isinstance(name, str):
            raise self.fault(f"an option of '{where}'", "a name", name)
        name = name.removeprefix("--").replace("_", "-")
        if name in RESERVED:
            raise self.fault(f"an option of '{where}'", "none that the batch sets itself", name)
        value = tuple(value) if isinstance(value, list) else value
        for part in value if isinstance(value, tuple) else (value,):
            if not (part is None or isinstance(part, (bool, int, float, str))):
                raise self.fault(f"'{name}' of '{where}'", "a number, a text, or a list of them", part)
        if name in PATH_OPTIONS and isinstance(value, str) and value != "default":
            value = str((self.base / Path(value).expanduser()).absolute())
        return name, value


def _steps(reader: _Reader, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(step in STEPS for step in value):
        raise reader.fault("'steps'", f"a list of {', '.join(STEPS)}", value)
    for step in value:
        if NEEDS.get(step, step) not in value:
            raise reader.fault("'steps'", f"{NEEDS[step]} with {step}", value)
    return tuple(step for step in STEPS if step in value)


def _captures(reader: _Reader, value: Any, base: Path, parser: Any, options: Options) -> tuple[PlannedCapture, ...]:
    if not isinstance(value, list) or not value:
        raise reader.fault("'captures'", "a list of folders or URLs", value)
    found: list[PlannedCapture] = []
    for entry in value:
        given = {"data": entry} if isinstance(entry, str) else entry
        given = reader.mapping(given, "a capture", ("data", "name", "parser", "options"))
        if not isinstance(given.get("data"), str) or not given["data"]:
            raise reader.fault("'data' of a capture", "a folder or URL", given.get("data"))
        own = reader.options(given.get("options"), "options of a capture")
        address = settled(given["data"], base)
        several = has_pattern(address) and not (not is_url(address) and Path(address).is_dir())
        for data in matches(address if several or is_url(address) else glob.escape(address)):
            name = given.get("name") if not several else None
            found.append(
                PlannedCapture(
                    name=reader.name(_name(data, address, several) if name is None else name, "a capture's name"),
                    data=data,
                    parser=reader.name(given.get("parser", parser), "'parser'"),
                    options={**options, **own},
                )
            )
    return tuple(found)


def _name(data: str, address: str, several: bool) -> str:
    """A capture's name: what the pattern left open and follows it; else its folder's, with the parent's where that is
    a number. It does not depend on what other captures there are."""
    parts, pattern = (text.rpartition("://")[2].strip("/").split("/") for text in (data, address))
    if several:
        kept = parts[next(i for i, part in enumerate(pattern) if has_pattern(part)) :]
    else:
        kept = parts[-2:] if parts[-1].isdigit() else parts[-1:]
    return re.sub(r"[^\w.+-]", "_", "-".join(kept)).lstrip(".+-")


def _methods(reader: _Reader, value: Any, common: Options) -> tuple[PlannedMethod, ...]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = dict.fromkeys(value)
    if not isinstance(value, dict) or not value:
        raise reader.fault("'methods'", "methods of ns-train, such as hand-uvnerf", value)
    found = []
    for name, entry in value.items():
        given = reader.mapping(entry or {}, f"method {reprlib.repr(name)}", ("method", "options"))
        own = reader.options(given.get("options"), f"options of {name}")
        method = reader.name(given.get("method", name), f"the method of {name}")
        found.append(PlannedMethod(reader.name(name, "a method's name"), method, {**common, **own}))
    return tuple(found)


def _resources(reader: _Reader, value: Any) -> dict[str, Resources]:
    given = reader.mapping(value or {}, "'resources'", STEPS)
    names = [one.name for one in dataclasses.fields(Resources)]
    found = {}
    for step, amounts in given.items():
        amounts = reader.mapping(amounts, f"resources of {step}", names)
        for name, amount in amounts.items():
            if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < 1e6:
                raise reader.fault(f"'{name}' of {step}", "a number from 0", amount)
        found[step] = Resources(**amounts)
    return found


def _check_apart(plan: Plan, source: str) -> None:
    """No two captures are one, no two have one name, and none lies among the results or the other way round."""
    same = Counter((capture.data, repr(sorted(capture.options.items()))) for capture in plan.captures)
    (data, _), count = same.most_common(1)[0]
    if count > 1:
        raise HandsError(f"{source}: expected each capture once, found {data} {count} times; leave out the others.")
    # Some file systems take names that differ by their case alone for one.
    name, count = Counter(capture.name.casefold() for capture in plan.captures).most_common(1)[0]
    if count > 1:
        raise HandsError(
            f"{source}: expected a name of its own for each capture, found {count} called '{name}'; give them names "
            "(data: ..., name: ...)."
        )
    name, count = Counter([*(method.name.casefold() for method in plan.methods), "fit"]).most_common(1)[0]
    if count > 1:
        raise HandsError(
            f"{source}: expected names of methods that differ from each other and from 'fit', found {count} of "
            f"'{name}'; give another one (NAME: {{method: ...}})."
        )
    for capture in plan.captures:
        if capture.name.casefold() in TAKEN_NAMES:
            raise HandsError(
                f"{source}: expected a capture's name that nothing else of the results has, found '{capture.name}'; "
                "give it another one (data: ..., name: ...)."
            )
    for capture in plan.captures:
        if Path(plan.results).is_relative_to(capture.data):
            raise HandsError(
                f"{source}: expected results outside of the captures, found {plan.results} in {capture.data}; give "
                "another folder."
            )
