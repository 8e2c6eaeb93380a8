"""What every benchmark leaves behind: its tables, with what made them, in `benchmarks/results/`.

A result says when, by which commit and command, with which options, from which data and on which machine it was made.
Paths are shortened to what tells captures apart: a result can be shown to anybody.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import nerfstudio_hands
from nerfstudio_hands import method_configs

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
MEASURED = ("nerfstudio_hands", "method_configs", "benchmarks", "constraints.txt", ":!benchmarks/results")
"""What a commit has to hold for a figure to be that of the commit."""
PACKAGES = ("nerfstudio", "torch", "numpy", "scipy", "smplx", "warp-lang", "open3d")
WIDTH = 190
"""Columns of the terminal that tables are printed for."""


@dataclass(kw_only=True)
class Recorded:
    """The option that all benchmarks have."""

    name: str = ""
    """Appended to the name of the result's file, to keep the results of several captures or settings apart."""


def record(
    script: str,
    args: object,
    tables: Sequence[Table],
    *,
    notes: Sequence[str] = (),
    figures: Mapping[str, Mapping[str, float]] | None = None,
    folder: Path = RESULTS,
) -> Path:
    """Prints tables and notes and writes them, as `<script>[-<name>].md` and `.json`.

    Args:
        script: `__file__` of the benchmark.
        args: Its options, a dataclass or what `vars` takes; their `name`, where there is one, goes into the file's.
        tables: What it found.
        notes: Sentences that belong to the tables: conditions, what is synthetic, what was left out.
        figures: Everything that is known of each row, for the JSON file alone.
        folder: Where to write.

    Returns:
        The `.md` file.
    """
    console = Console(width=WIDTH)
    for part in (*tables, *notes):
        console.print(part, markup=False, highlight=False)
    options = {key: plain(value) for key, value in _fields(args).items()}
    stem = "-".join(part for part in (Path(script).stem, str(options.get("name") or "")) if part)
    result = {
        "script": Path(script).name,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command_line(),
        "options": options,
        **AT_START,
        "versions": versions(),
        "tables": [as_record(table) for table in tables],
        "notes": list(notes),
        "figures": {row: dict(values) for row, values in (figures or {}).items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{stem}.json", json.dumps(result, indent=1) + "\n")
    _write(folder / f"{stem}.md", as_markdown(result))
    console.print(f"Written to {folder.name}/{stem}.md", markup=False, highlight=False)
    return folder / f"{stem}.md"


def as_record(table: Table) -> dict[str, Any]:
    """Title, columns and rows of a table."""
    columns = [list(column.cells) for column in table.columns]
    return {
        "title": str(table.title),
        "columns": [str(column.header) for column in table.columns],
        "rows": [[str(cell) for cell in row] for row in zip(*columns, strict=True)],
    }


def as_markdown(result: Mapping[str, Any]) -> str:
    """The file that people read."""
    source, computer = result["source"], result["machine"]
    changed = ", with uncommitted changes" if source["uncommitted_changes"] else ""
    lines = [
        f"# {result['script']}",
        "",
        f"{result['date']}, commit {source['commit'][:12]}{changed}.",
        "",
        f"    {result['command']}",
        "",
        f"{computer['processor']}, {computer['cores']} cores, {computer['threads']} threads of torch "
        f"({computer['capability']}), {computer['memory_gb']} GB, {computer['gpu'] or 'no GPU'}; load "
        f"{computer['load_at_start']} at the start. {computer['system']}, Python {computer['python']}, "
        + ", ".join(f"{package} {number}" for package, number in result["versions"].items())
        + ".",
        "",
    ]
    for table in result["tables"]:
        cells = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
        rows = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells]
        lines += [f"**{table['title']}**", "", *rows, ""]
    return "\n".join([*lines, *(f"{note}\n" for note in result["notes"])])


def machine() -> dict[str, Any]:
    """What figures of time depend on; the machine's name is not part of it."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
    }


def source() -> dict[str, Any]:
    """Commit, whether what is measured differs from it, and a digest of the package's files."""
    commit = _git("rev-parse", "HEAD")
    return {
        "commit": commit or "unknown",
        "uncommitted_changes": commit is None or _git("status", "--porcelain", "--", *MEASURED) != "",
        "code": code_digest(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that figures depend on."""
    return {package: version(package) for package in PACKAGES}


def code_digest() -> str:
    """Digest of the files of the package that is imported here, wherever it is installed."""
    digest = hashlib.sha256()
    for folder in (Path(nerfstudio_hands.__file__).parent, Path(method_configs.__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".npz"):
                digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache
def data_fingerprint(folder: Path) -> str:
    """Digest of names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            inside = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest_of(file)
        digest.update(path.relative_to(folder).as_posix().encode() + inside.digest())
    return digest.hexdigest()[:16]


def command_line() -> str:
    """How this process was called, with short paths."""
    words = (shown(word) for word in sys.argv[1:])
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def shown(word: str) -> str:
    """A word of a command line whose path, if it is one that begins outside of the repository, is shortened."""
    option, equals, value = word.rpartition("=")
    path = Path(value)
    if not (path.is_absolute() or value.startswith(("..", "~"))):
        return word
    return option + equals + short_path(path)


def short_path(path: Path) -> str:
    """Where something lies in the repository; elsewhere its name alone, with the parent's where it is a number."""
    absolute = path.expanduser().resolve()
    if absolute.is_relative_to(REPOSITORY):
        return absolute.relative_to(REPOSITORY).as_posix()
    return f"{absolute.parent.name}/{absolute.name}" if absolute.name.isdigit() else absolute.name


def plain(value: object) -> Any:
    """A value of an option as JSON has it."""
    if isinstance(value, Path):
        return short_path(value)
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _fields(args: object) -> dict[str, object]:
    if dataclasses.is_dataclass(args):
        return {field.name: getattr(args, field.name) for field in dataclasses.fields(args)}
    return dict(vars(args))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(*words: str) -> str | None:
    try:
        found = subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _digest_of(file: Any) -> Any:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


AT_START = {
    "source": source(),
    "machine": {**machine(), "load_at_start": round(os.getloadavg()[0], 1)},
}
"""The state that this process began with: a commit that is made meanwhile has no part in its figures."""
