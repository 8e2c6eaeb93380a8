"""The package is a house: a file imports from its own floor or from one below, also where it imports late."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "nerfstudio_hands"
FLOORS = (
    # 0: files, options, sentences
    (
        "errors", "checkpoint_state", "environment", "ffmpeg", "frame_clock", "guarded_files", "interruption",
        "npz_writing", "option_range", "progress", "run_yaml", "srgb", "track_convention",
    ),
    ("geometry",),
    ("hand_model",),
    ("animation", "synthesis", "fields", "pose_network"),
    ("fitting",),
    ("dataparsers",),
    ("datamanagers", "evaluation", "viewer"),
    ("models",),
    ("memory", "checkpoints", "pipeline", "engine", "export", "run_config"),
    ("cli", "method_configs", "data"),
)  # fmt: skip
"""What stands on each floor, from the ground up."""

EXCEPTIONS: set[tuple[str, str]] = set()


def floor_of(module: str) -> int:
    name = module.split(".")[1]
    return next(level for level, names in enumerate(FLOORS) if name in names)


def imports(path: Path, module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{PACKAGE}."):
            yield node.module
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{PACKAGE}."))


def modules(repository: Path) -> Iterator[tuple[str, Path]]:
    for root, prefix in ((PACKAGE, PACKAGE), ("method_configs", f"{PACKAGE}.method_configs")):
        for path in sorted((repository / root).rglob("*.py")):
            parts = path.relative_to(repository / root).with_suffix("").parts
            yield ".".join((prefix, *(part for part in parts if part != "__init__"))), path
