"""The package is a house: a file imports from its own floor or from one below, also where it imports late."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "nerfstudio_hands"
FLOORS = (
    ("errors", "labels", "files", "program", "transforms"),
    ("geometry",),
    ("hand_model",),
    ("motion", "captures", "hand_images", "calibration", "synthesis", "fields", "estimators"),
    ("fitting",),
    ("inspection", "dataparsers", "preparation"),
    ("datamanagers", "evaluation", "viewer", "model_components"),
    ("models",),
    ("training", "export", "video", "fleet"),
    ("cli", "method_configs", "data"),
)
"""What stands on each floor, from the ground up."""


def floor_of(module: str) -> int:
    name = module.split(".")[1]
    return next(level for level, names in enumerate(FLOORS) if name in names)


def imports(path: Path) -> Iterator[str]:
    """What a file imports of the package, at its top, in functions, or for types alone."""
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{PACKAGE}."))


def modules(repository: Path) -> Iterator[tuple[str, Path]]:
    for root, prefix in ((PACKAGE, PACKAGE), ("method_configs", f"{PACKAGE}.method_configs")):
        for path in sorted((repository / root).rglob("*.py")):
            parts = path.relative_to(repository / root).with_suffix("").parts
            yield ".".join((prefix, *(part for part in parts if part != "__init__"))), path


def package(repository: Path) -> dict[str, set[str]]:
    """Every module, and the modules that it imports."""
    known = dict(modules(repository))
    found = {}
    for module, path in known.items():
        names = set(imports(path))
        # `from package import module` names the module, anything else the package's own file.
        found[module] = {name if name in known else name.rpartition(".")[0] for name in names} & known.keys() - {module}
    return found


def test_files_import_from_their_own_floor_or_below(repository: Path):
    up = {
        (module, imported)
        for module, names in package(repository).items()
        for imported in names
        if module != PACKAGE and floor_of(imported) > floor_of(module)
    }
    assert not up


def test_nothing_goes_in_circles(repository: Path):
    assert not list(circles(package(repository)))


def test_folders_go_in_no_circles(repository: Path):
    """Also not on one floor."""
    folders: dict[str, set[str]] = {}
    for module, names in package(repository).items():
        if module != PACKAGE:
            folders.setdefault(module.split(".")[1], set()).update(name.split(".")[1] for name in names - {PACKAGE})
    assert not list(circles({folder: names - {folder} for folder, names in folders.items()}))


@pytest.mark.parametrize(("folder", "stranger"), [("fitting", "estimators"), ("evaluation", "fitting")])
def test_strangers_stay_so(repository: Path, folder: str, stranger: str):
    """A fit is handed its network (`PoseStart`); figures are taken of masks and meshes, wherever these came from."""
    known = package(repository)
    inside = [module for module in known if module.startswith(f"{PACKAGE}.{folder}.")]
    assert inside and not {
        name for module in inside for name in known[module] if name.startswith(f"{PACKAGE}.{stranger}.")
    }


def test_files_that_the_architecture_names_are_there(repository: Path):
    there = [f"/{path.relative_to(repository)}" for path in repository.glob("[!.]*/**/*.py")]
    named = re.findall(r"`([\w/]+\.py)`", (repository / "docs" / "architecture.md").read_text("utf8"))
    assert len(named) > 30
    assert not [name for name in named if not any(path.endswith(f"/{name}") for path in there)]


def test_circles_and_stairs_are_found(tmp_path: Path):
    for name, text in {
        "geometry/mesh.py": f"def f():\n    from {PACKAGE}.hand_model.model import HandModel\n",
        "hand_model/model.py": f"from {PACKAGE}.hand_model import load\n",
        "hand_model/load.py": f"if TYPE_CHECKING:\n    import {PACKAGE}.hand_model.model\n",
    }.items():
        (tmp_path / PACKAGE / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / PACKAGE / name).write_text(text)
    found = package(tmp_path)
    assert found[f"{PACKAGE}.geometry.mesh"] == {f"{PACKAGE}.hand_model.model"}
    assert list(circles(found)) == [{f"{PACKAGE}.hand_model.load", f"{PACKAGE}.hand_model.model"}]


def circles(graph: dict[str, set[str]]) -> Iterator[set[str]]:
    """Sets of modules that reach each other."""
    reached = {module: reach(graph, module) for module in graph}
    seen: set[str] = set()
    for module in graph:
        circle = {other for other in reached[module] if module in reached[other]}
        if circle and module not in seen:
            seen |= circle
            yield circle


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    """What can be reached from a module, itself only in a circle."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found
