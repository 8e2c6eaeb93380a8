"""Every `ns-hands` command that the documentation names is one that the command line takes."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from PIL import Image

from nerfstudio_hands.cli.commands import COMMANDS
from nerfstudio_hands.cli.synthesize import CaptureRoom, InterHand, Motion, Phone

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "data" / "README.md"]


def documented() -> list[str]:
    """The commands in code blocks, without comments."""
    lines = [line for page in PAGES for line in re.findall(r"^ns-hands .*$", page.read_text(), re.MULTILINE)]
    found = {shlex.join(shlex.split(line, comments=True)) for line in lines}
    return sorted(line for line in found if not line.endswith("--help"))


def next_of_the_demo() -> list[str]:
    spec = importlib.util.spec_from_file_location("demo", REPOSITORY / "scripts" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    return [command for _, command in demo.next_commands(Path("config.yml")) if command.startswith("ns-hands ")]


def test_there_are_documented_commands() -> None:
    names = {command.split()[1] for command in documented()}
    assert {"check", "export", "turntable", "animate", "synthesize"} <= names and len(next_of_the_demo()) >= 3


@pytest.mark.parametrize("line", [*documented(), *next_of_the_demo()])
def test_the_command_line_takes_it(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for layout in (CaptureRoom, InterHand, Motion, Phone):
        monkeypatch.setattr(layout, "run", lambda self: called.append(self))
    _, name, *words = shlex.split(line)
    command = COMMANDS[name]

    @functools.wraps(command)
    def noted(*arguments, **options) -> None:
        called.append(arguments or options)

    tyro.cli(command if name == "synthesize" else noted, args=words)
    assert len(called) == 1


def test_the_python_of_the_readme_runs(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code.replace("CONFIG", str(tiny_run)), found)
    model, camera = found["model"], found["camera"]
    bent = np.asarray(Image.open(tmp_path / "bent.png")).astype(int)
    model.hands.set_override(model.hands.reference()[None])
    straight = model.get_outputs_for_camera(camera)["rgb"].cpu().numpy() * 255
    assert np.abs(bent - straight).max() > 20
